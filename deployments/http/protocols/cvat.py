"""What a self-hosted CVAT asks of nuclio for an interactor: the list of functions, and a call of one."""

from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.body import image_bytes
from deployments.http.protocols.bodies import aside, read_json
from deployments.http.protocols.forms import CVAT
from deployments.http.protocols.numbers import bit_lists
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter
from deployments.http.responses import json_response
from segmentation.errors import InvalidRequest
from segmentation.masks.rle import decode

PREFIX = "sam-serve-"
"""Begins the name of a function; the model's follows."""

Coordinates = Annotated[list[float], Field(min_length=2, max_length=2)]


class InvocationRequest(ToolModel):
    """A call of an interactor."""

    image: str = Field(description="base64 of the frame's file")
    pos_points: list[Coordinates] = Field(default_factory=list)
    neg_points: list[Coordinates] = Field(default_factory=list)
    obj_bbox: Annotated[list[Coordinates], Field(max_length=2)] | None = Field(
        default=None, description="two opposite corners"
    )


class Cvat:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        example = {"image": "iVBORw0KGgo=", "pos_points": [[120, 80]], "neg_points": [], "obj_bbox": None}
        return ToolProtocol(
            form=CVAT,
            title="CVAT",
            routes=(
                ToolRoute("GET", "/api/functions", self.functions, "an interactor for each model"),
                ToolRoute("GET", "/api/functions/{name}", self.function, "one interactor"),
                ToolRoute(
                    "POST",
                    "/api/function_invocations",
                    self.invoke,
                    "the mask of a prompt",
                    body=InvocationRequest,
                    example=example,
                ),
            ),
            under=("/api/functions",),
        )

    async def functions(self, request: Request) -> Response:
        """Every function by its name."""
        return await json_response({PREFIX + model: _function(model) for model in self._segmenter.models})

    async def function(self, request: Request) -> Response:
        """One function."""
        return await json_response(_function(self._model(request.path_params["name"])))

    async def invoke(self, request: Request) -> Response:
        """The best mask of the points and the box, as rows of 0 and 1."""
        model = self._model(request.headers.get("x-nuclio-function-name", ""))
        asked = await read_json(request, self._segmenter, InvocationRequest)
        points = [(x, y) for x, y in (*asked.pos_points, *asked.neg_points)]
        labels = [1] * len(asked.pos_points) + [0] * len(asked.neg_points)
        prompt = self._segmenter.prompt(points, labels, _box(asked.obj_bbox))
        data = await aside(len(asked.image), lambda: image_bytes(asked.image))
        source = await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))
        found = await self._segmenter.segment(request, source, [prompt])
        rle = found.masks[0][0].rle
        rows = await aside(rle.size[0] * rle.size[1], lambda: bit_lists(decode(rle)))
        return Response(f'{{"mask":{rows}}}', media_type="application/json")

    def _model(self, name: str) -> str:
        model = name.removeprefix(PREFIX)
        if model not in self._segmenter.models or not name.startswith(PREFIX):
            offered = ", ".join(PREFIX + model for model in self._segmenter.models)
            raise InvalidRequest(f"this server does not offer the function {name[:64]!r}; it offers {offered}")
        return model


def _function(model: str) -> dict[str, Any]:
    """A function as nuclio describes one; the annotations are CVAT's."""
    return {
        "metadata": {
            "name": PREFIX + model,
            "namespace": "nuclio",
            "annotations": {
                "name": f"Segment Anything ({model})",
                "type": "interactor",
                "version": "2",
                "spec": "",
                "min_pos_points": "1",
                "min_neg_points": "0",
                "startswith_box_optional": "true",
                "help_message": "The interactor takes a box, and points inside and outside the object",
            },
        },
        "spec": {"description": "Segment Anything, answered by SAM Serve"},
        "status": {"state": "ready"},
    }


def _box(corners: list[list[float]] | None) -> list[float] | None:
    if not corners:
        return None
    if len(corners) != 2:
        raise InvalidRequest("obj_bbox is two corners, [x, y] each", "/obj_bbox")
    (ax, ay), (bx, by) = corners
    return [min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)]
