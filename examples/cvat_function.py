"""An interaction function for CVAT's agents (`cvat-cli`): clicks and boxes are answered by a SAM Serve server.

    pip install cvat-cli requests
    cvat-cli --server-host https://app.cvat.ai function create-native "SAM Serve" \
        --function-file examples/cvat_function.py -p server=str:http://127.0.0.1:5000
    cvat-cli --server-host https://app.cvat.ai function run-agent ID \
        --function-file examples/cvat_function.py -p server=str:http://127.0.0.1:5000

With several models, `-p model=str:NAME` chooses one. An API key comes from the environment, as SAM_API_KEY.
A frame is sent once; each click after that asks by its id.
"""

import base64
import io
import json
import os
from dataclasses import dataclass
from typing import Any

import cvat_sdk.auto_annotation as cvataa
import numpy as np
import PIL.Image
import requests
from cvat_sdk import models
from cvat_sdk.masks import encode_mask

TIMEOUT_S = 120


@dataclass(frozen=True)
class Frame:
    """A frame that the server knows.

    image_id: the server's id of it.
    png: its file, to be sent again if the server no longer holds it.
    """

    image_id: str
    png: bytes


class SegmentAnything:
    """What an agent calls.

    server: address of SAM Serve.
    model: one of those that it offers; its default if it is empty.
    """

    def __init__(self, server: str, model: str = "") -> None:
        self._model = {"model": model} if model else {}
        self._server = server.rstrip("/")
        self._session = requests.Session()
        if key := os.environ.get("SAM_API_KEY"):
            self._session.headers["Authorization"] = f"Bearer {key}"

    @property
    def spec(self) -> cvataa.InteractionFunctionSpec:
        """Points inside and outside the object, and a box if the user draws one."""
        return cvataa.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def preprocess_image(self, context: cvataa.InteractionFunctionContext, image: PIL.Image.Image) -> Frame:
        """Sends the frame, so that the server encodes it before the first click."""
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "PNG", compress_level=1)
        return self._send(buffer.getvalue())

    def detect(
        self, context: cvataa.InteractionFunctionContext, pp_image: Frame, prompts: cvataa.InteractionPrompts
    ) -> list[cvataa.InteractionResultShape]:
        """The best mask of the prompts; nothing if it is empty or there are no prompts."""
        prompt: dict[str, Any] = {
            "points": [list(point) for point in (*prompts.pos_points, *prompts.neg_points)],
            "labels": [1] * len(prompts.pos_points) + [0] * len(prompts.neg_points),
        }
        if prompts.bounding_box is not None:
            (x0, y0), (x1, y1) = prompts.bounding_box
            prompt["box"] = [x0, y0, x1, y1]
        if not prompt["points"] and "box" not in prompt:
            return []
        answer = self._ask(pp_image.image_id, prompt)
        if answer.status_code == 404:
            answer = self._ask(self._send(pp_image.png).image_id, prompt)
        _require_success(answer)
        best = answer.json()["results"][0]["masks"][0]
        if not best["area"]:
            return []
        png = PIL.Image.open(io.BytesIO(base64.b64decode(best["segmentation"])))
        confidence = models.AttributeValRequest(
            spec_id=int(cvataa.InteractionResultAttributes.CONFIDENCE), value=str(min(best["predicted_iou"], 1.0))
        )
        return [
            cvataa.InteractionResultShape(type="mask", points=encode_mask(np.asarray(png) > 0), attributes=[confidence])
        ]

    def _send(self, png: bytes) -> Frame:
        answer = self._session.post(
            f"{self._server}/embeddings",
            data={"request": json.dumps(self._model)},
            files={"image": png},
            timeout=TIMEOUT_S,
        )
        _require_success(answer)
        return Frame(answer.json()["image_id"], png)

    def _ask(self, image_id: str, prompt: dict[str, Any]) -> requests.Response:
        request = {"image_id": image_id, "prompts": [prompt], "mask_format": "png", **self._model}
        return self._session.post(f"{self._server}/segment", json=request, timeout=TIMEOUT_S)


def create(server: str = "http://127.0.0.1:5000", model: str = "") -> SegmentAnything:
    """What `cvat-cli` calls, with the parameters of its command line."""
    return SegmentAnything(server, model)


def _require_success(answer: requests.Response) -> None:
    if not answer.ok:
        raise RuntimeError(f"the server answered {answer.status_code}: {answer.text[:500]}")
