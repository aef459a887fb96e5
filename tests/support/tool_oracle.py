"""What tools' masks must be: `/segment` and `/segment/auto` of the same server."""

import json
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from starlette.testclient import TestClient

from segmentation.masks.rle import decode
from segmentation.types import Rle

POINT, BOX = (60, 40), (40, 30, 90, 70)
"""On the photograph of the fixture `png`."""

Mask: TypeAlias = NDArray[np.bool_]


def decoded(mask: dict[str, Any]) -> Mask:
    """The mask of an answer of `/segment` or `/segment/auto`."""
    rle = mask["segmentation"]
    return decode(Rle(tuple(rle["size"]), rle["counts"]))


class Oracle:
    """`/segment` and `/segment/auto` of the same server."""

    def __init__(self, client: TestClient, picture: str) -> None:
        self._client = client
        self._picture = picture

    def prompt(self, prompt: dict[str, Any], **fields: Any) -> list[Mask]:
        """The masks of a prompt, best first."""
        request = {"image": self._picture, "prompts": [prompt], **fields}
        answer = self._client.post("/segment", json=request)
        assert answer.status_code == 200, answer.text
        return [decoded(mask) for mask in answer.json()["results"][0]["masks"]]

    def point(self) -> Mask:
        return self.prompt({"points": [list(POINT)]})[0]

    def box(self) -> Mask:
        return self.prompt({"box": list(BOX)})[0]

    def everything(self, **parameters: Any) -> list[Mask]:
        answer = self._client.post("/segment/auto", json={"image": self._picture, **parameters})
        assert answer.status_code == 200, answer.text
        return [decoded(mask) for mask in answer.json()["masks"]]


def ok(answer: Any) -> Any:
    """The JSON of an answer that must be 200."""
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)
