"""A table as a page of one file, which loads nothing else: page.html with the rows as JSON inside."""

from __future__ import annotations

import json
import math
import os

from neuromanager.results.render import Table
from neuromanager.system.values import Any, Iterator

_TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


def render_html(table: Table, digits: int) -> Iterator[str]:
    """The first column, where it names runs, gets no axis."""
    nonfinite: list[list[Any]] = []
    rows = []
    for number, row in enumerate(table.rows):
        cells = list(row)
        for column, value in enumerate(row):
            if isinstance(value, float) and not math.isfinite(value):
                nonfinite.append(
                    [number, column, "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"]
                )
                cells[column] = None
        rows.append(cells)
    skip = [place for place, name in enumerate(table.names) if name == "run"]
    data = {"names": table.names, "rows": rows, "nonfinite": nonfinite, "digits": digits, "skip": skip}
    # In a script element only "<" could end it, or begin a comment (HTML, 4.12.1.3).
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    with open(_TEMPLATE, encoding="utf-8") as file:
        before, after = file.read().split("@DATA@")
    yield before + text + after.rstrip("\n")
