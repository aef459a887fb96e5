"""Roboflow's inference-sdk: SAM 2 by point, by box and without prompts."""

import cv2
import numpy as np
from common import BOX, POINT, job
from inference_sdk import InferenceConfiguration, InferenceHTTPClient
from pycocotools import mask as coco


def main() -> None:
    asked = job()
    client = InferenceHTTPClient(api_url=asked.url, api_key=asked.key or None)
    client.configure(InferenceConfiguration(max_batch_size=1))
    x0, y0, x1, y1 = BOX
    point = {"points": [{"x": POINT[0], "y": POINT[1], "positive": True}]}
    box = {"box": {"x": (x0 + x1) / 2, "y": (y0 + y1) / 2, "width": x1 - x0, "height": y1 - y0}}
    picture = str(asked.picture)

    def rles(prompts: list[dict[str, object]] | None, **version: str) -> np.ndarray:
        answer = client.sam2_segment_image(picture, prompts=prompts, mask_input_format="rle", **version)
        return np.array([coco.decode(found["masks"]).astype(bool) for found in answer["predictions"]])

    def polygons(prompts: list[dict[str, object]]) -> np.ndarray:
        height, width = cv2.imread(picture).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        (found,) = client.sam2_segment_image(picture, prompts=prompts)["predictions"]
        for polygon in found["masks"]:
            cv2.fillPoly(mask, [np.array(polygon, np.int32)], 1)
        return mask.astype(bool)

    asked.save(
        point=rles([point])[0],
        box=rles([box], sam2_version_id=asked.model())[0],
        point_polygon=polygons([point]),
        everything=rles(None),
    )


main()
