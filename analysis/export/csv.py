"""CSV: one row an object, UTF-8 with a byte order mark, so that Excel reads group names right.

The scale stands in the units of the header; rules and scale stand as JSON in the last column of the first row.
"""

import csv
import io
import json
from collections.abc import Sequence

from analysis.export.columns import Cell, object_table, safe_text
from analysis.export.source import Source
from analysis.result import Analysis


def write_csv(analysis: Analysis, source: Source) -> bytes:
    """The objects as CSV (RFC 4180)."""
    table = object_table(analysis)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*table.header, "settings"])
    settings = safe_text(json.dumps({**source.settings, **analysis.settings()}, ensure_ascii=False))
    for row in table.rows():
        writer.writerow([*(_written(cell) for cell in row), settings])
        settings = ""
    return text.getvalue().encode("utf-8-sig")


def _written(cell: Cell) -> Cell | Sequence[str]:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return f"{cell:.10g}"
    return cell
