"""Makes the pictures and numbers of docs/analysis.md and docs/parameters.md, with the demo model.

    python -m scripts.analysis_figures [--skip-parameters]

`coins.json` and `parameters.json` beside the pictures hold the numbers that the documents state; a test compares them.
"""

import argparse
import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

from analysis import Analysis, Source, analyze, export, from_rles, resolve_rules
from analysis.export.colours import PALETTE
from segmentation.automatic.generate import PERFORMANCE, QUALITY, AutomaticParameters, generate, plan_crops
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.masks.rle import encode
from segmentation.types import MaskRecord
from segmentation.weights.manifest import PROJECT_ROOT, find_model, load_manifest

FOLDER = PROJECT_ROOT / "docs" / "images" / "analysis"
ONNX = PROJECT_ROOT / "model" / "onnx"
RULE_SIZE = (120, 160)


@dataclass(frozen=True)
class Samples:
    """A picture's samples."""

    samples: NDArray[Any]
    valid: None = None


class Demo:
    """The demo model in this process."""

    def __init__(self) -> None:
        architecture = find_model("demo", load_manifest()).architecture
        self._encoder = OnnxEncoder(ONNX / "sam_demo_encoder.onnx", architecture)
        self._decoder = OnnxDecoder(ONNX / "sam_demo_decoder.onnx", architecture)

    def masks(self, picture: NDArray[np.uint8], parameters: AutomaticParameters) -> list[MaskRecord]:
        """Automatic masks."""
        return generate(self._encoder, self._decoder, picture, parameters)


def analysed(records: list[MaskRecord], picture: NDArray[np.uint8], preset: str, **rules: Any) -> Analysis:
    """The analysis of a run's masks, in pixels."""
    return analyze(
        from_rles([record.rle for record in records], (picture.shape[0], picture.shape[1])),
        rules=resolve_rules(preset, rules),
        preset=preset,
        picture=Samples(picture[:, :, :1]),
        predicted_iou=[record.predicted_iou for record in records],
        stability_score=[record.stability_score for record in records],
    )


def coins(demo: Demo) -> dict[str, Any]:
    """The worked example: the picture, and the numbers of the tables."""
    picture = np.asarray(Image.open(PROJECT_ROOT / "docs" / "images" / "coins.png").convert("RGB"))
    parameters = replace(PERFORMANCE, crop_n_layers=0)
    result = analysed(demo.masks(picture, parameters), picture, "droplets")
    data = export(result, "overlay", Source(pixels=picture))
    save(Image.open(io.BytesIO(data)), "coins.png")
    rows = [
        {
            "id": one["id"],
            "group": one["group"],
            **{name: round(one["measurements"][name], 3) for name in SHOWN},
            "intensity": round(one["measurements"]["intensity"][0]["mean"], 1),
        }
        for one in result.objects(None)[:3]
    ]
    return {
        "input": result.summary["input_masks"],
        "count": len(result),
        "dropped": {one.rule: one.count for one in result.dropped},
        "groups": {
            group.name: {
                "count": group.count,
                **{key: _rounded(group.statistics["equivalent_diameter"][key]) for key in ("mean", "cv", "min", "max")},
            }
            for group in result.groups
        },
        "coverage": round(result.summary["coverage"], 3),
        "rows": rows,
    }


SHOWN = ("area", "equivalent_diameter", "circularity", "feret_max")


def _rounded(value: float | int | None) -> float | None:
    return None if value is None else round(float(value), 1)


def nuclei() -> NDArray[np.uint8]:
    """40 bright nuclei of 24 to 32 pixels diameter on 640 x 640, with noise: small things in a large picture."""
    random = np.random.default_rng(6)
    side = 640
    rows, columns = np.mgrid[:side, :side]
    picture = np.full((side, side), 30.0)
    for number in range(40):
        x, y = 92 * (number % 6 + 0.9) + random.uniform(-14, 14), 87 * (number // 6 + 0.6) + random.uniform(-9, 9)
        beyond = np.hypot(columns - x, rows - y) - random.uniform(12, 16)
        picture += random.uniform(100, 150) / (1 + np.exp(np.clip(2 * beyond, -50, 50)))
    grey = (picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def parameters_page(demo: Demo) -> list[dict[str, Any]]:
    """How many objects with which parameters on three pictures, and how many points are decoded for them."""
    grey = skimage.data.coins()
    pictures = {
        "coins": np.repeat(grey[..., None], 3, axis=2),
        "nuclei": nuclei(),
        "coffee": skimage.data.coffee(),
    }
    settings = {
        "performance, no crops": replace(PERFORMANCE, crop_n_layers=0),
        "performance": PERFORMANCE,
        "quality, no crops": replace(QUALITY, crop_n_layers=0),
        "quality, one layer of crops": replace(QUALITY, crop_n_layers=1),
        "quality": QUALITY,
    }
    rows = []
    for name, picture in pictures.items():
        for title, parameters in settings.items():
            records = demo.masks(picture, parameters)
            result = analysed(records, picture, "objects")
            rows.append(
                {
                    "picture": name,
                    "parameters": title,
                    "points": sum(len(crop.points) for crop in plan_crops(picture.shape[:2], parameters)),
                    "masks": len(records),
                    "objects": len(result),
                }
            )
            print(rows[-1], flush=True)
            if title in ("quality, no crops", "quality") and name == "nuclei":
                data = export(result, "overlay", Source(pixels=picture))
                save(Image.open(io.BytesIO(data)), f"nuclei_{'crops' if title == 'quality' else 'no_crops'}.jpg")
    return rows


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    """A disc in the frame of the drawings."""
    rows, columns = np.mgrid[: RULE_SIZE[0], : RULE_SIZE[1]]
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2


def rule_drawings() -> None:
    """One picture a rule: masks before on the left, after on the right; what went is grey."""
    around = ~(disc(50, 60, 30) | disc(120, 60, 25))
    holed = disc(80, 60, 40) & ~disc(70, 60, 6)
    holed |= disc(140, 20, 4)
    scenes: dict[str, tuple[list[NDArray[np.bool_]], dict[str, Any]]] = {
        "background": ([disc(50, 60, 30), disc(120, 60, 25), around], {"background": "drop"}),
        "clean": ([holed], {"clean": {"holes": 150, "islands": 100}}),
        "edge": ([disc(20, 60, 25), disc(95, 60, 30)], {"edge": {"margin": 0, "action": "drop"}}),
        "parts": ([disc(30, 60, 15) | disc(130, 60, 15), disc(80, 60, 18)], {"parts": {"max_distance": 50}}),
        "duplicates": (
            [disc(80, 60, 42), disc(82, 60, 40), disc(20, 20, 12)],
            {"duplicates": {"measure": "iou", "threshold": 0.8, "keep": "larger"}},
        ),
        "filters": (
            [disc(50, 60, 30), disc(115, 60, 20) | disc(140, 60, 16)],
            {"filters": [{"property": "circularity", "min": 0.9}]},
        ),
        "nesting": ([disc(80, 60, 50), disc(60, 60, 14), disc(105, 60, 14)], {"nesting": {"threshold": 0.9}}),
        "groups": (
            [disc(35, 40, 26), disc(110, 70, 28), disc(70, 90, 9), disc(30, 95, 9), disc(100, 20, 10)],
            {"groups": {"count": 2}},
        ),
        "monodisperse": (
            [disc(25 + 30 * (n % 3), 25 + 34 * (n // 3), 12) for n in range(9)] + [disc(132, 60, 21)],
            {"monodisperse": {"max_ratio": [1.3, 1.2]}},
        ),
    }
    for name, (masks, rules) in scenes.items():
        Image.fromarray(side_by_side(masks, rules)).quantize(16).save(FOLDER / f"rule_{name}.png", optimize=True)


def side_by_side(masks: list[NDArray[np.bool_]], rules: dict[str, Any]) -> NDArray[np.uint8]:
    """Before and after a rule."""
    packed = from_rles([encode(mask) for mask in masks], RULE_SIZE)
    result = analyze(packed, rules=resolve_rules("none", rules))
    before = np.full((*RULE_SIZE, 3), 255, np.uint8)
    after = before.copy()
    for mask in sorted(masks, key=lambda one: -int(one.sum())):
        paint(before, mask, (150, 170, 200))
        paint(after, mask, (228, 228, 228))
    for index in range(len(result)):
        crop, x, y = result.masks.crop(index)
        mask = np.zeros(RULE_SIZE, np.bool_)
        mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        number = int(result.tree.depth[index]) if "nesting" in rules else int(result.grouping.numbers[index])
        paint(after, mask, PALETTE[number])
    gap = np.full((RULE_SIZE[0], 12, 3), 255, np.uint8)
    joined = np.hstack([before, gap, after])
    joined[[0, -1]] = joined[:, [0, -1]] = 200
    return joined


def paint(picture: NDArray[np.uint8], mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """A mask with a darker outline."""
    inside = mask.copy()
    for axis in (0, 1):
        for step in (1, -1):
            inside &= np.roll(mask, step, axis)
    picture[mask] = tuple(int(0.6 * part) for part in colour)
    picture[inside] = colour


def save(image: Image.Image, name: str) -> None:
    """A small file. Of a PNG: 64 colours are enough for an overlay on grey. Noise is smaller as JPEG."""
    if name.endswith(".jpg"):
        image.convert("RGB").save(FOLDER / name, quality=80)
    else:
        image.convert("RGB").quantize(64).save(FOLDER / name, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skip-parameters", action="store_true", help="only what docs/analysis.md shows")
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    rule_drawings()
    demo = Demo()
    found = coins(demo)
    write(FOLDER / "coins.json", found)
    print(json.dumps(found, indent=1))
    if not arguments.skip_parameters:
        rows = parameters_page(demo)
        settings = {"performance": asdict(PERFORMANCE), "quality": asdict(QUALITY)}
        write(FOLDER / "parameters.json", {"rows": rows, "profiles": settings})


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
