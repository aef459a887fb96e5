"""XLSX: sheets objects, groups, summary and settings, with a histogram of diameters. For one picture or for many.

Text is stored as text: no cell of this file is a formula.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.chart import BarChart, Reference
from openpyxl.styles import Font

from analysis.export.columns import column_name, object_table
from analysis.export.source import Source
from analysis.objects.properties import MEASUREMENTS
from analysis.result import Analysis

STATISTICS = ("count", "mean", "median", "std", "cv", "min", "max", "d10", "d50", "d90")
MAX_TEXT = 32_000
"""Characters of a cell; Excel allows 32,767."""
MAX_ROWS = 1_048_575


def write_xlsx(analysis: Analysis, source: Source) -> bytes:
    """One picture's workbook."""
    return write_xlsx_of_many([(analysis, source)])


def write_xlsx_of_many(pictures: Sequence[tuple[Analysis, Source]]) -> bytes:
    """A workbook of several pictures, whose rows begin with the picture's name."""
    book = Workbook(write_only=True)
    _objects(book, pictures)
    _groups(book, pictures)
    _summary(book, pictures)
    _histogram(book, pictures)
    _settings(book, pictures)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


class _Sheet:
    """A sheet that is written from the top, with a bold header that stays in sight."""

    def __init__(self, book: Workbook, title: str) -> None:
        self.sheet = book.create_sheet(title)
        self.sheet.freeze_panes = "A2"
        self.rows = 0

    def header(self, names: Sequence[str]) -> None:
        cells = [self._cell(name) for name in names]
        for cell in cells:
            cell.font = Font(bold=True)
        self.sheet.append(cells)
        self.rows += 1

    def append(self, values: Sequence[Any]) -> None:
        self.sheet.append([self._cell(value) if isinstance(value, str) else value for value in values])
        self.rows += 1

    def _cell(self, text: str) -> WriteOnlyCell:
        cell = WriteOnlyCell(self.sheet, value="")
        cell.value = ILLEGAL_CHARACTERS_RE.sub("", text)[:MAX_TEXT]
        cell.data_type = "s"  # openpyxl takes text that begins with = for a formula
        return cell


def _objects(book: Workbook, pictures: Sequence[tuple[Analysis, Source]]) -> None:
    """The objects; a sheet for each kind of columns, as pictures may differ in scale and channels."""
    sheets: dict[tuple[str, ...], _Sheet] = {}
    for analysis, source in pictures:
        table = object_table(analysis)
        key = tuple(table.header)
        if key not in sheets or sheets[key].rows + len(analysis) > MAX_ROWS:
            sheets[key] = _Sheet(book, "objects" if not sheets else f"objects {len(book.sheetnames) + 1}")
            sheets[key].header(["picture", *table.header])
        for row in table.rows():
            # Cells are text already: the apostrophe that saves a CSV would stand in the cell.
            group = analysis.group_of(int(row[0] or 1) - 1)
            sheets[key].append([source.name, row[0], group, *row[2:]])


def _groups(book: Workbook, pictures: Sequence[tuple[Analysis, Source]]) -> None:
    sheet = _Sheet(book, "groups")
    sheet.header(["picture", "group", "objects", "share", "measurement", *STATISTICS])
    for analysis, source in pictures:
        unit = analysis.scale.column_unit
        for group in analysis.groups:
            for name, values in group.statistics.items():
                title = column_name(name, unit) if name in MEASUREMENTS else name
                sheet.append(
                    [source.name, group.name, group.count, group.share, title, *(values[key] for key in STATISTICS)]
                )


def _summary(book: Workbook, pictures: Sequence[tuple[Analysis, Source]]) -> None:
    sheet = _Sheet(book, "summary")
    sheet.header(["picture", "figure", "value", "unit"])
    for analysis, source in pictures:
        unit = analysis.scale.unit
        for name, value in _flat(analysis.summary):
            sheet.append([source.name, name, value, _unit_of(name, unit)])
        for one in analysis.dropped:
            sheet.append([source.name, f"dropped by {one.rule}", one.count, "masks"])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float | int | str]]:
    rows: list[tuple[str, float | int | str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} ")
        elif name == "labels":
            for row in value:
                rows.append((f"{prefix}{row['label']} count", row["count"]))
                rows.append((f"{prefix}{row['label']} share", row["share"]))
                rows.append((f"{prefix}{row['label']} expected share", row["expected_share"]))
        elif isinstance(value, int | float | str):
            rows.append((f"{prefix}{name}", value))
    return rows


def _unit_of(name: str, unit: str) -> str:
    if name.endswith("_area"):
        return f"{unit}²"
    if name.startswith("equivalent_diameter") and not name.endswith("span"):
        return unit
    return "1/mm²" if name == "density_per_mm2" else ""


def _histogram(book: Workbook, pictures: Sequence[tuple[Analysis, Source]]) -> None:
    """The size classes of each picture, and a bar chart of the first."""
    sheet = _Sheet(book, "histogram")
    sheet.header(["picture", "from", "to", "class", "objects", "share", "area share", "unit"])
    charted = 0
    for number, (analysis, source) in enumerate(pictures):
        unit = analysis.scale.unit
        for row in analysis.summary["size_classes"]:
            text = f"{row['from']:.6g} to {row['to']:.6g}"
            sheet.append(
                [source.name, row["from"], row["to"], text, row["count"], row["share"], row["area_share"], unit]
            )
        charted = sheet.rows if number == 0 else charted
    if charted > 1:
        chart = BarChart()
        chart.title = "Objects by equivalent diameter"
        chart.x_axis.title, chart.y_axis.title = pictures[0][0].scale.unit, "objects"
        chart.x_axis.delete = chart.y_axis.delete = False
        chart.legend = None
        chart.gapWidth = 5
        chart.add_data(Reference(sheet.sheet, min_col=5, min_row=2, max_row=charted))
        chart.set_categories(Reference(sheet.sheet, min_col=4, min_row=2, max_row=charted))
        sheet.sheet.add_chart(chart, "J2")


def _settings(book: Workbook, pictures: Sequence[tuple[Analysis, Source]]) -> None:
    sheet = _Sheet(book, "settings")
    sheet.header(["picture", "setting", "value"])
    for analysis, source in pictures:
        settings = {**source.settings, **analysis.settings()}
        for name, value in settings.items():
            if isinstance(value, Mapping):
                for inner, one in value.items():
                    sheet.append([source.name, f"{name}.{inner}", _text(one)])
            else:
                sheet.append([source.name, name, _text(value)])


def _text(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
