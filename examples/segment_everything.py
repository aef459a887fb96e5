"""Segments everything in a picture and prints a line a mask: area, x, y, width, height, predicted IoU; largest first.

    .venv/bin/python -m examples.segment_everything PICTURE

Needs a running server: SAM_SERVER is its address, SAM_API_KEY its key.
"""

import os
import sys

from client import SamClient

with SamClient(os.environ.get("SAM_SERVER", "http://127.0.0.1:5000"), os.environ.get("SAM_API_KEY")) as client:
    masks = client.picture(sys.argv[1]).everything(performance_mode=True)
for mask in sorted(masks, key=lambda mask: -mask.area):
    print(mask.area, *mask.bbox, f"{mask.predicted_iou:.3f}", sep="\t")
