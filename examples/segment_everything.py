"""Segments everything in a picture, draws the masks over it, and writes one line a mask to a table.

    python examples/segment_everything.py PICTURE [--server URL] [--drawing FILE] [--table FILE] [--parameters JSON]

Needs a running server and Pillow. To a server with API keys it sends the one in the environment variable SAM_API_KEY.
The table has a mask's area in pixels, its centre and its bounding box: open it in a spreadsheet or with pandas, then
filter, group and count.
"""

import argparse
import base64
import colorsys
import csv
import json
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
    request = urllib.request.Request(f"{server}/segment/auto", body, {"Content-Type": "application/json"})
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


def draw(picture: Path, masks: list[dict[str, Any]]) -> Image.Image:
    """The picture with each mask in a colour of its own, the largest first."""
    drawing = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
    for number, mask in enumerate(sorted(masks, key=lambda mask: -mask["area"])):
        red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1, 0.75, 1))
        shape = Image.new("L", drawing.size)
        pen = ImageDraw.Draw(shape)
        for outline, *holes in mask["segmentation"]:
            pen.polygon([tuple(point) for point in outline], fill=110, outline=255)
            for hole in holes:
                pen.polygon([tuple(point) for point in hole], fill=0, outline=255)
        drawing.paste((red, green, blue), mask=shape)
    return drawing


def write_table(path: Path, masks: list[dict[str, Any]]) -> None:
    """One line a mask, the largest first."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["area", "centre_x", "centre_y", "x", "y", "width", "height", "predicted_iou"])
        for mask in sorted(masks, key=lambda mask: -mask["area"]):
            x, y, width, height = mask["bbox"]
            row = [mask["area"], x + width / 2, y + height / 2, x, y, width, height, round(mask["predicted_iou"], 4)]
            table.writerow(row)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:5000")
    parser.add_argument("--drawing", type=Path, default=Path("masks.png"))
    parser.add_argument("--table", type=Path, default=Path("masks.csv"))
    parser.add_argument("--parameters", type=json.loads, default={}, help="of /segment/auto, as JSON")
    options = parser.parse_args()
    # Not an option: every user of the machine can read those.
    key = os.environ.get("SAM_API_KEY", "")
    answer = segment_everything(options.server, options.picture, options.parameters, key)
    draw(options.picture, answer["masks"]).save(options.drawing)
    write_table(options.table, answer["masks"])
    seconds = answer["timing_ms"]["total"] / 1000
    print(f"{len(answer['masks'])} masks in {seconds:.1f} s: {options.drawing}, {options.table}")


if __name__ == "__main__":
    main()
