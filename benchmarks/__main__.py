"""See that every benchmark runs, each as small as can be: `python -m benchmarks`. Figures mean nothing at that size."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from benchmarks.tools import ROOT, Benchmark, tell

HERE = Path(__file__).parent


def benchmarks() -> Iterator[Benchmark]:
    """Find the benchmarks: every module here that has one."""
    for path in sorted(HERE.glob("[!_]*.py")):
        benchmark = getattr(importlib.import_module(f"benchmarks.{path.stem}"), "BENCHMARK", None)
        if benchmark is not None:
            yield benchmark


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--all", action="store_true", help="those too that take minutes in all")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="folder with data/")
    options = parser.parse_args()
    broken = []
    for benchmark in benchmarks():
        for name in benchmark.measurements if options.all else benchmark.quick:
            if name in benchmark.needs_shared and not (options.shared / "data").is_dir():
                tell(f"{benchmark.name} {name}: left out, it needs real data")
                continue
            print(f"\n{benchmark.name} {name}", flush=True)
            began = time.monotonic()
            try:
                benchmark.main([name, "--smallest", "--shared", str(options.shared)])
            except (Exception, SystemExit):
                traceback.print_exc()
                broken.append(f"{benchmark.name} {name}")
            tell(f"  {time.monotonic() - began:.1f} s")
    print("\n" + ("All of them run." if not broken else f"Broken: {', '.join(broken)}."))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
