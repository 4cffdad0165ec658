"""`./tests/run bench`: prints the cost table; exit code 1 where a figure misses its reach."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Callable, Mapping

from . import distance, in_asterisk, journal_size, load, memory, ringing_group, scripts, under_fire
from .figures import Figure, show, write_json
from .sizes import FULL, QUICK, Sizes

MEASUREMENTS: Mapping[str, Callable[[Sizes], list[Figure]]] = {
    "asterisk": in_asterisk.measure,
    "scripts": scripts.measure,
    "load": load.without_limits,
    "limits": load.with_limits,
    "memory": memory.measure,
    "group": ringing_group.measure,
    "journal": journal_size.measure,
    "distance": distance.measure,
    "fire": under_fire.measure,
}


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="tests/run bench")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, help="one measurement; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a fraction of the real sizes, to try something")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    sizes, figures = QUICK if options.quick else FULL, []
    for name in options.only or MEASUREMENTS:
        print(f"-- {name}; load {os.getloadavg()[0]:.2f}", flush=True)
        figures += MEASUREMENTS[name](sizes)
    print(show(figures))
    if options.json:
        write_json(figures, options.json)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
