"""Where the films of a batch are made: in this process, in processes beside it, or on the workers of a Dask cluster.

All of them render with the same code, so a film has the same bytes whoever made it. What an executor adds is one class
or function, and one line in `EXECUTORS` at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

from renderer.errors import UsageError, nearest
from renderer.workers.jobs import Executor, SerialExecutor


def open_executor(spec: str, *, workers: int | None = None) -> Executor:
    """Make an executor.

    Args:
        spec: `serial`, `process`, `process:N` for N workers, or `dask://HOST:PORT`, the address of a scheduler.
        workers: how many, where `spec` does not say; None for what suits the machine.

    Raises:
        UsageError: it names no executor, or a number of workers that makes no sense.
        EnvironmentProblem: what it needs is not installed, or cannot be reached.
    """
    name, _, rest = spec.partition(":")
    if name not in EXECUTORS:
        raise UsageError(f"There is no executor {spec[:100]!r}{nearest(name[:100], EXECUTORS)}")
    return EXECUTORS[name](rest, workers)


def _serial(rest: str, workers: int | None) -> Executor:
    if rest or workers not in (None, 1):
        raise UsageError("The serial executor has no workers; for several, choose process:N.")
    return SerialExecutor()


def _process(rest: str, workers: int | None) -> Executor:
    from renderer.workers.process_pool import open_processes

    return open_processes(rest, workers)


def _dask(rest: str, workers: int | None) -> Executor:
    from renderer.workers.dask_pool import open_cluster

    return open_cluster(rest, workers)


EXECUTORS: dict[str, Callable[[str, int | None], Executor]] = {
    "serial": _serial,
    "process": _process,
    "dask": _dask,
}
"""Name -> what makes the executor, from what follows the name in a spec and a number of workers."""
