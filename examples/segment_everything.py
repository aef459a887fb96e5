"""Segments everything in a picture, draws the masks over it, and writes one line a mask to a table.

    .venv/bin/python examples/segment_everything.py PICTURE
        [--server URL] [--drawing FILE] [--table FILE] [--parameters JSON]

Needs a running server and Pillow. To a server with API keys it sends the one in the environment variable SAM_API_KEY.
The table has a mask's area in pixels and as a share of the picture, its centroid and its bounding box: open it in a
spreadsheet or with pandas, then filter, group and count. The background may be a mask, too: as a rule the largest.
"""

import argparse
import base64
import colorsys
import csv
import json
import math
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps

GOLDEN_RATIO = 0.618


def segment_everything(server: str, picture: Path, parameters: dict[str, Any], key: str = "") -> dict[str, Any]:
    """The server's answer, masks as polygons. `key` is the API key, empty for none."""
    image = base64.b64encode(picture.read_bytes()).decode("ascii")
    body = json.dumps({"image": image, "mask_format": "polygon", **parameters}).encode()
    request = urllib.request.Request(f"{server.rstrip('/')}/segment/auto", body, {"Content-Type": "application/json"})
    if key:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{error.code}: {json.load(error)['detail']}") from None
    except urllib.error.URLError as error:
        raise SystemExit(f"no server at {server}: {error.reason}") from None
    return answer


def opened(picture: Path, page: int = 0) -> Image.Image:
    """A page of the picture as the server sees it, in RGB; levels beyond 8 bits from the darkest to the lightest."""
    with Image.open(picture) as stack:
        stack.seek(page)
        image = ImageOps.exif_transpose(stack)
    if image.mode.startswith(("I", "F")):
        darkest, lightest = image.convert("F").getextrema()
        step = 255 / max(lightest - darkest, 1e-9)
        image = image.convert("F").point(lambda level: level * step - darkest * step).convert("L")
    return image.convert("RGB")


def draw(drawing: Image.Image, masks: list[dict[str, Any]]) -> None:
    """Draws each mask in a colour of its own over the picture, in their order."""
    for number, mask in enumerate(masks):
        red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1, 0.75, 1))
        shape = Image.new("L", drawing.size)
        pen = ImageDraw.Draw(shape)
        for outline, *holes in mask["segmentation"]:
            pen.polygon([tuple(point) for point in outline], fill=110, outline=255)
            for hole in holes:
                pen.polygon([tuple(point) for point in hole], fill=0, outline=255)
        drawing.paste((red, green, blue), mask=shape)


def centroid(polygons: list[list[list[list[float]]]]) -> tuple[float, float]:
    """(x, y) of the centre of mass, not a number for a mask without pixels.

    Outlines and holes run in opposite directions, so their areas add up.
    """
    area = x = y = 0.0
    for ring in (ring for polygon in polygons for ring in polygon):
        for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
            cross = x0 * y1 - x1 * y0
            area, x, y = area + cross, x + (x0 + x1) * cross, y + (y0 + y1) * cross
    return (x / (3 * area), y / (3 * area)) if area else (math.nan, math.nan)


def write_table(path: Path, masks: list[dict[str, Any]], pixels: int) -> None:
    """One line a mask of a picture of so many pixels, in their order."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["area", "share", "centroid_x", "centroid_y", "x", "y", "width", "height", "predicted_iou"])
        for mask in masks:
            share, centre = mask["area"] / pixels, centroid(mask["segmentation"])
            numbers = [round(share, 6), *(round(place, 2) for place in centre), *mask["bbox"]]
            table.writerow([mask["area"], *numbers, round(mask["predicted_iou"], 4)])


def parameters(text: str) -> dict[str, Any]:
    """What `--parameters` holds."""
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(given, dict) or given.keys() & {"image", "image_url", "image_id", "mask_format", "stream"}:
        raise argparse.ArgumentTypeError("a JSON object of parameters; picture, mask_format and stream are set already")
    return given


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:5000")
    parser.add_argument("--drawing", type=Path, default=Path("masks.png"))
    parser.add_argument("--table", type=Path, default=Path("masks.csv"))
    parser.add_argument("--parameters", type=parameters, default={}, help="of /segment/auto, as JSON")
    options = parser.parse_args()
    # Not an option: every user of the machine can read those.
    key = os.environ.get("SAM_API_KEY", "")
    try:
        answer = segment_everything(options.server, options.picture, options.parameters, key)
    except (OSError, ValueError) as error:  # of the file, or of the server's address
        raise SystemExit(str(error)) from None
    masks = sorted(answer["masks"], key=lambda mask: -mask["area"])  # a smaller one is drawn over a larger
    drawing = opened(options.picture, (options.parameters.get("decode") or {}).get("page", 0))
    draw(drawing, masks)
    drawing.save(options.drawing)
    write_table(options.table, masks, drawing.width * drawing.height)
    seconds = answer["timing_ms"]["total"] / 1000
    print(f"{len(masks)} masks in {seconds:.1f} s: {options.drawing}, {options.table}")


if __name__ == "__main__":
    main()
