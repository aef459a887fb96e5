"""The documents state the numbers that `scripts/analysis_figures.py` found."""

import json
from typing import Any

from segmentation.weights.manifest import PROJECT_ROOT

DOCS = PROJECT_ROOT / "docs"
ROWS = {
    "performance, no crops": "`performance_mode`, `crop_n_layers` 0",
    "performance": "`performance_mode`",
    "quality, no crops": "`crop_n_layers` 0",
    "quality, one layer of crops": "`crop_n_layers` 1",
    "quality": "the default",
}


def found(name: str) -> Any:
    return json.loads((DOCS / "images" / "analysis" / name).read_text())


def test_the_tables_of_choosing_parameters() -> None:
    rows = found("parameters.json")["rows"]
    objects = {(row["picture"], row["parameters"]): row["objects"] for row in rows}
    text = (DOCS / "parameters.md").read_text()
    for parameters, label in ROWS.items():
        of_pictures = [objects[picture, parameters] for picture in ("nuclei", "coins", "coffee")]
        assert f"| {label} | {' | '.join(map(str, of_pictures))} |" in text
        (points,) = {row["points"] for row in rows if (row["picture"], row["parameters"]) == ("coins", parameters)}
        assert parameters == "quality, one layer of crops" or f"| {points:,} |" in text


def test_the_worked_example_of_an_analysis() -> None:
    coins, text = found("coins.json"), (DOCS / "analysis.md").read_text()
    dropped = ", ".join(f"{rule} {count}" for rule, count in coins["dropped"].items())
    assert f"finds {coins['input']} masks" in text
    assert f"the {coins['count']} that are left" in text
    assert f"dropped: {dropped}." in text
    for name, group in coins["groups"].items():
        assert "| " + " | ".join(map(str, (name, *group.values()))) + " |" in text
    for row in coins["rows"]:
        cells = f"{row['equivalent_diameter']:.1f} | {row['circularity']:.2f} | {row['feret_max']:.1f}"
        assert f"| {row['id']} | {row['group']} | {row['area']:.0f} | {cells} | {row['intensity']} |" in text
