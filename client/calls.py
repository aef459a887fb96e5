"""Each call of the API as a generator over `exchange`: how arguments become a request, and an answer becomes values."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.errors import InvalidArgument
from client.exchange import Call, Events, Flow, Progress, Reply, SentPicture, on_picture, retried
from client.masks import Mask, MaskLike, Prompt, mask_json
from client.retries import RetryPolicy

FORMATS: Mapping[str, str] = {
    ".csv": "csv",
    ".xlsx": "xlsx",
    ".geojson": "geojson",
    ".coco.json": "coco",
    ".txt": "yolo",
    ".tif": "labels",
    ".tiff": "labels",
    ".rois.zip": "rois",
    ".png": "overlay",
    ".zip": "archive",
    ".json": "json",
}
"""The format of `/analyze` that a file's ending stands for; the longest ending counts."""


def sent_picture(data: bytes, model: str | None, decode: Mapping[str, Any] | None) -> SentPicture:
    """A picture that was not sent yet, and the fields that go with its every request."""
    fields: dict[str, Any] = {}
    if model is not None:
        fields["model"] = model
    if decode is not None:
        fields["decode"] = dict(decode)
    return SentPicture(data, fields)


def get(path: str, policy: RetryPolicy) -> Flow[dict[str, Any]]:
    """A JSON document."""
    reply = yield from retried(Call("GET", path), policy)
    return reply.document()


def prepare(picture: SentPicture, policy: RetryPolicy) -> Flow[None]:
    """Sends a picture ahead of the first question."""
    yield from on_picture(picture, "/embeddings", {}, policy)


def embedding(picture: SentPicture, policy: RetryPolicy) -> Flow[NDArray[np.float32]]:
    """float32 [1, C, h, w]."""
    if not picture.image_id:
        yield from prepare(picture, policy)
    reply = yield from retried(Call("GET", f"/embeddings/{picture.image_id}"), policy)
    array: NDArray[np.float32] = np.load(io.BytesIO(reply.body), allow_pickle=False)
    return array


def segment(
    picture: SentPicture,
    prompts: Sequence[Prompt],
    multimask_output: bool,
    return_logits: bool,
    policy: RetryPolicy,
) -> Flow[list[list[Mask]]]:
    """The masks of each prompt, best first."""
    fields = {
        "prompts": [prompt.to_json() for prompt in prompts],
        "multimask_output": multimask_output,
        "return_logits": return_logits,
    }
    reply = yield from on_picture(picture, "/segment", fields, policy)
    return [[Mask.from_json(mask) for mask in result["masks"]] for result in reply.document()["results"]]


def everything(
    picture: SentPicture, parameters: Mapping[str, Any], progress: Progress | None, policy: RetryPolicy
) -> Flow[list[Mask]]:
    """All masks of the picture. Streamed, so that the connection is never silent for long."""
    refuse_reserved(parameters, {"image", "image_id", "image_url", "mask_format", "stream", "decode", "model"})
    events = Events(progress)
    yield from on_picture(picture, "/segment/auto", {**parameters, "stream": True}, policy, events)
    return [Mask.from_json(mask) for mask in events.items]


def analyze(
    picture: SentPicture, rules: Mapping[str, Any], progress: Progress | None, policy: RetryPolicy
) -> Flow[dict[str, Any]]:
    """Objects, groups and measurements, as the server writes them. Streamed, as automatic masks are."""
    events = Events(progress)
    yield from on_picture(picture, "/analyze", {**analysis_fields(rules), "stream": True}, policy, events)
    document = {**events.head, **(events.end or {}), "objects": events.items}
    for name in ("event", "count"):
        document.pop(name, None)
    return document


def export(picture: SentPicture, file_format: str, rules: Mapping[str, Any], policy: RetryPolicy) -> Flow[bytes]:
    """The file of an analysis in one of the server's formats."""
    fields = {**analysis_fields(rules), "format": file_format}
    reply: Reply = yield from on_picture(picture, "/analyze", fields, policy)
    return reply.body


def analysis_fields(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The rules as `/analyze` takes them: masks and prompts of this package become JSON."""
    refuse_reserved(rules, {"image", "image_id", "image_url", "mask_format", "stream", "format", "decode", "model"})
    fields = dict(rules)
    if fields.get("masks") is not None:
        masks: Sequence[MaskLike] = fields["masks"]
        fields["masks"] = [mask_json(mask) for mask in masks]
    if fields.get("prompts") is not None:
        fields["prompts"] = [prompt.to_json() if isinstance(prompt, Prompt) else prompt for prompt in fields["prompts"]]
    return fields


def format_of(path: Path, file_format: str | None) -> str:
    """The format of a file by its ending, unless it is given.

    Raises:
        InvalidArgument: an ending that stands for no format.
    """
    if file_format is not None:
        return file_format
    name = path.name.lower()
    for ending in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(ending):
            return FORMATS[ending]
    raise InvalidArgument(f"{path.name!r}: the ending is one of {', '.join(FORMATS)}, or give format=")


def refuse_reserved(fields: Mapping[str, Any], reserved: set[str]) -> None:
    """Raises InvalidArgument for a field that the client sets by itself."""
    if taken := sorted(set(fields) & reserved):
        raise InvalidArgument(f"{taken[0]!r} is set by the client; model and decode belong to client.picture(...)")
