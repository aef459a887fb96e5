"""The rows of the two tables, with fixed columns. Knows pyarrow, no Ray."""

from typing import Any

import pyarrow as pa

from analysis.objects.properties import INTENSITIES, MEASUREMENTS, SIZES_IN_ORDER
from batch.picture import Result

DONE, FAILED = "done", "failed"

PICTURES = pa.schema(
    [
        ("picture_id", pa.string()),
        ("path", pa.string()),
        ("name", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("count", pa.int32()),
        ("groups", pa.map_(pa.string(), pa.int32())),
        ("seconds", pa.float32()),
        ("parameters", pa.string()),
    ]
)

OBJECTS = pa.schema(
    [
        ("picture_id", pa.string()),
        ("path", pa.string()),
        ("id", pa.int32()),
        ("group", pa.string()),
        ("label", pa.string()),
        ("parent", pa.int32()),
        ("depth", pa.int32()),
        ("touches_edge", pa.bool_()),
        ("centroid_x", pa.float64()),
        ("centroid_y", pa.float64()),
        ("bbox", pa.list_(pa.int32(), 4)),
        ("predicted_iou", pa.float32()),
        ("stability_score", pa.float32()),
        *((name, pa.float64()) for name in MEASUREMENTS),
        *((f"{name}_px", pa.float64()) for name in SIZES_IN_ORDER),
        *((f"intensity_{name}", pa.list_(pa.float64())) for name in INTENSITIES),
        ("rle_size", pa.list_(pa.int32(), 2)),
        ("rle_counts", pa.string()),
        ("parameters", pa.string()),
    ]
)


def picture_row(picture_id: str, path: str, name: str, parameters: str, outcome: Result | str) -> dict[str, Any]:
    """A row of `pictures`; `outcome` is the result, or why there is none."""
    row = {"picture_id": picture_id, "path": path, "name": name, "parameters": parameters}
    if isinstance(outcome, str):
        return {**row, "status": FAILED, "error": outcome, "count": None}
    height, width = outcome.analysis.size
    return {
        **row,
        "status": DONE,
        "error": None,
        "height": height,
        "width": width,
        "count": len(outcome.analysis),
        "groups": [(group.name, group.count) for group in outcome.analysis.groups],
        "seconds": outcome.seconds,
    }


def object_rows(picture_id: str, path: str, parameters: str, result: Result) -> list[dict[str, Any]]:
    """The rows of `objects` of a picture."""
    rows = []
    for one in result.analysis.iter_objects("rle"):
        measured = dict(one["measurements"])
        channels = measured.pop("intensity")
        rows.append(
            {
                "picture_id": picture_id,
                "path": path,
                "parameters": parameters,
                **{name: one[name] for name in ("id", "group", "label", "parent", "depth", "touches_edge", "bbox")},
                "centroid_x": one["centroid"][0],
                "centroid_y": one["centroid"][1],
                "predicted_iou": one["predicted_iou"],
                "stability_score": one["stability_score"],
                **measured,
                **{f"{name}_px": value for name, value in one["measurements_px"].items()},
                **{f"intensity_{name}": [channel[name] for channel in channels] for name in INTENSITIES},
                "rle_size": one["segmentation"]["size"],
                "rle_counts": one["segmentation"]["counts"],
            }
        )
    return rows


def to_ipc(rows: list[dict[str, Any]]) -> bytes:
    """Rows of `objects` as bytes: a column of them goes through every block unchanged."""
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist(rows, OBJECTS)
    with pa.ipc.new_stream(sink, OBJECTS) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def from_ipc(data: bytes) -> pa.Table:
    """The rows again."""
    return pa.ipc.open_stream(data).read_all()
