"""`./tests/run bench`: prints the cost table; exit code 1 where a figure misses its reach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import in_asterisk, scripts, under_fire
from .figures import show, write_json


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="tests/run bench")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = [*in_asterisk.measure(options.rounds), *scripts.measure(options.rounds), *under_fire.measure()]
    print(show(figures))
    if options.json:
        write_json(figures, options.json)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
