"""A figure of the cost table: a value, what it stands beside, the ratio and what it must reach."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Sequence


@dataclass(frozen=True)
class Figure:
    """One row; `value` and `against` are in the unit that `figure` names. Without a `reach` it is printed alone."""

    figure: str
    value: float
    against: float
    reach: float | None = None

    @property
    def ratio(self) -> float:
        """The value as a multiple of what it stands beside."""
        return self.value / self.against

    @property
    def met(self) -> bool:
        """Whether the ratio is within reach."""
        return self.reach is None or self.ratio <= self.reach


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def show(figures: Sequence[Figure]) -> str:
    """The table, a row a figure."""
    width = max(len(figure.figure) for figure in figures)
    lines = [f"{'figure':{width}}  {'ours':>9}  {'beside':>9}  {'ratio':>6}  {'reach':>6}"]
    for one in figures:
        mark = "" if one.met else "  NOT MET"
        reach = "" if one.reach is None else f"{one.reach:.2f}"
        lines.append(f"{one.figure:{width}}  {one.value:9.2f}  {one.against:9.2f}  {one.ratio:6.2f}  {reach:>6}{mark}")
    return "\n".join(lines)


def write_json(figures: Sequence[Figure], path: Path) -> None:
    """The same for programs."""
    rows = [{**asdict(one), "ratio": round(one.ratio, 3), "met": one.met} for one in figures]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
