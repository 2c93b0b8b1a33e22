"""The machine that a film is made on: kept quiet, pinned to one way of working, and described.

The same film comes out with the same bytes only where TensorFlow, the device and the number of threads are the same,
so all of them are part of a film's key.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from renderer import __version__
from renderer.errors import EnvironmentProblem

ALGORITHM = 1
"""Raised whenever the same settings give other pixels than before."""

ADDRESS_SPACE = 3_000_000_000
"""Bytes of addresses, most of them never used, that a program with TensorFlow takes; with fewer it ends by itself."""

LIBRARIES = ("tensorflow", "keras", "numpy", "opencv-python", "opencv-python-headless")
"""What computes pixels."""


def thread_count() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


@functools.cache
def prepare(*, verbose: bool = False) -> None:
    """Silence TensorFlow's log, make its results repeat, and pin the threads; before anything else imports it.

    Raises:
        EnvironmentProblem: TensorFlow cannot be loaded.
    """
    allowed = _address_space()
    if allowed is not None and allowed < ADDRESS_SPACE:
        raise EnvironmentProblem(
            f"This shell allows a program {allowed / 1e9:.1f} GB of addresses (ulimit -v), and TensorFlow takes "
            f"{ADDRESS_SPACE / 1e9:.0f} GB before the first frame; allow more."
        )
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        # While it loads, TensorFlow writes to stderr before its log level counts.
        with contextlib.nullcontext() if verbose else _stderr_away():
            import tensorflow as tf
    except ImportError as error:
        raise EnvironmentProblem(f"TensorFlow cannot be loaded: {error}. Install Dreamreel again.") from error
    if not verbose:
        tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(thread_count())
        tf.config.threading.set_inter_op_parallelism_threads(thread_count())
    except RuntimeError:  # TensorFlow is at work already, with the threads it has
        pass


@contextlib.contextmanager
def _stderr_away() -> Iterator[None]:
    """Keep what anybody, C++ included, writes to stderr; show it only if the block fails."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            written = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # There is no folder for it: what is written is lost, which is little.
            written = stack.enter_context(Path(os.devnull).open("w+b"))
        os.dup2(written.fileno(), 2)
        try:
            yield
        except Exception:
            written.seek(0)
            os.write(kept, written.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def environment() -> dict[str, Any]:
    """Describe what this machine's pixels depend on beside the film: versions, processor or GPU, threads."""
    import tensorflow as tf

    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")[:1]  # TensorFlow uses the first, however many there are.
    ]
    return {
        "dreamreel": __version__,
        "algorithm": ALGORITHM,
        **versions(LIBRARIES),
        "device": ", ".join(gpus) or processor(),
        "threads": thread_count(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
    }


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Name the processor as well as the system can."""
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def memory_available() -> int | None:
    """Return the memory in bytes that is free for use, None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def memory_total() -> int | None:
    """Return the memory in bytes that this machine, or the container that this process is in, has; None if unknown."""
    found = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: there is no limit
            found.append(int(Path(place).read_text()))
    return min((size for size in found if size > 0), default=None)


def _address_space() -> int | None:
    """Return how many bytes of addresses this process may have; None for as many as there are."""
    try:
        import resource
    except ImportError:  # no such module on Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def peak_memory() -> int:
    """Return the most memory, in bytes, that this process has held so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # no such module on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def differences(recorded: Mapping[str, Any]) -> list[str]:
    """Say in which ways this machine differs from the one that a recipe was made on."""
    chosen = {name: recorded[name] for name in ("precision", "memory") if name in recorded}  # by the film
    here = {**environment(), **chosen}
    names = {**recorded, **here}
    return [
        f"{name}: {recorded.get(name)}, now {here.get(name)}" for name in names if recorded.get(name) != here.get(name)
    ]
