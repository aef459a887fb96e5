"""The routes of a Label Studio backend, under `/label-studio`.

Label Studio sends where a picture is, not the picture. It is fetched from the origins that the operator allows.
"""

import re
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from deployments.http.body import image_bytes
from deployments.http.picture_fetch import PictureFetch
from deployments.http.protocols.bodies import aside, read_json
from deployments.http.protocols.forms import LABEL_STUDIO
from deployments.http.protocols.label_studio.label_config import Control, control_of
from deployments.http.protocols.label_studio.projects import LabelStudio, Projects
from deployments.http.protocols.label_studio.regions import Region, asked_regions, results
from deployments.http.protocols.protocol import ToolModel, ToolProtocol, ToolRoute
from deployments.http.protocols.segmenter import Segmenter
from deployments.http.responses import json_response
from deployments.pipelines.pictures import ImageSource
from segmentation.errors import InvalidRequest

PATH = "/label-studio"
MAX_TASKS = 64
MAX_REGIONS = 256
_WHOLE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class SetupRequest(ToolModel):
    """A project that is connected."""

    project: Annotated[str, Field(max_length=256)] = ""
    schema_: str = Field(default="", alias="schema")
    hostname: Annotated[str, Field(max_length=2048)] = ""
    access_token: Annotated[str, Field(pattern=r"^[!-~]{0,4096}$")] = ""
    extra_params: Any = Field(default=None, description="not used; a `model` in it is refused")


class Context(ToolModel):
    """What the user drew."""

    result: Annotated[list[Region], Field(default_factory=list, max_length=MAX_REGIONS)]


class PredictParameters(ToolModel):
    """`context` is there while a user draws."""

    context: Context | None = None


class Task(ToolModel):
    """One task of a project."""

    data: dict[str, Any] = Field(default_factory=dict)


class PredictRequest(ToolModel):
    """Tasks to label: the one that a user draws on, or some to be labelled ahead."""

    tasks: Annotated[list[Task], Field(default_factory=list, max_length=MAX_TASKS)]
    project: Annotated[str, Field(max_length=256)] | None = None
    label_config: str = ""
    params: PredictParameters | None = None


class WebhookRequest(ToolModel):
    """An event of Label Studio's."""

    action: str = ""


class LabelStudioBackend:
    """The routes."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._projects = Projects()
        self._fetch = PictureFetch(segmenter.settings.image_url_origins, max_bytes=segmenter.max_body_bytes)

    def protocol(self) -> ToolProtocol:
        """The protocol over this server."""
        config = (
            '<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image"><Label value="Coin"/>'
            "</BrushLabels></View>"
        )
        task = {"data": {"image": "data:image/png;base64,iVBORw0KGgo="}}
        return ToolProtocol(
            form=LABEL_STUDIO,
            title="Label Studio",
            routes=(
                ToolRoute("GET", PATH, self.health, "the backend is there", needs_key=False),
                ToolRoute("GET", f"{PATH}/health", self.health, "the backend is there", needs_key=False),
                ToolRoute(
                    "POST",
                    f"{PATH}/setup",
                    self.setup,
                    "connects a project",
                    body=SetupRequest,
                    example={"project": "1.1700000000", "schema": config, "hostname": "", "access_token": ""},
                ),
                ToolRoute(
                    "POST",
                    f"{PATH}/predict",
                    self.predict,
                    "regions for what the user drew, or of everything",
                    body=PredictRequest,
                    example={"tasks": [task], "project": "1.1700000000", "label_config": config, "params": {}},
                ),
                ToolRoute(
                    "POST",
                    f"{PATH}/webhook",
                    self.webhook,
                    "takes note of nothing: the models learn nothing",
                    body=WebhookRequest,
                    example={"action": "ANNOTATION_CREATED"},
                ),
            ),
            under=(PATH,),
        )

    async def health(self, request: Request) -> Response:
        """Label Studio asks for it before it connects."""
        return await json_response({"status": "UP", "model_class": "SegmentAnything"})

    async def setup(self, request: Request) -> Response:
        """Remembers where the project's pictures are."""
        asked = await read_json(request, self._segmenter, SetupRequest)
        if isinstance(asked.extra_params, dict) and "model" in asked.extra_params:
            # It would be forgotten when this server is restarted, and the default would answer without a word.
            raise InvalidRequest(
                'choose a model in the labelling configuration: <BrushLabels model="NAME" ...>', "/extra_params/model"
            )
        model = self._segmenter.model_named(control_of(asked.schema_).model if asked.schema_ else None)
        self._projects[request.state.caller, asked.project] = LabelStudio(asked.hostname, asked.access_token)
        return await json_response({"model_version": _version(model)})

    async def webhook(self, request: Request) -> Response:
        """Answers politely."""
        await read_json(request, self._segmenter, WebhookRequest)
        return await json_response({"result": {}, "status": "ok"})

    async def predict(self, request: Request) -> Response:
        """One prediction a task."""
        asked = await read_json(request, self._segmenter, PredictRequest)
        if not asked.tasks:
            return await json_response({"results": [], "model_version": _version(self._segmenter.default_model)})
        control = control_of(asked.label_config)
        model = self._segmenter.model_named(control.model)
        drawn = asked.params.context if asked.params is not None else None
        predictions = []
        for task in asked.tasks:
            source = await self._picture(request, task, control, asked.project or "", model)
            predictions.append(await self._prediction(request, source, control, drawn))
        return await json_response({"results": predictions, "model_version": _version(model)})

    async def _prediction(
        self, request: Request, source: ImageSource, control: Control, drawn: Context | None
    ) -> dict[str, Any]:
        if drawn is None:
            found = [(mask, None) for mask in (await self._segmenter.everything(request, source)).masks]
        else:
            max_pixels = int(self._segmenter.settings.max_megapixels * 1e6)
            regions = await aside(1_000_000, lambda: asked_regions(drawn.result, max_pixels))
            prompts = [self._segmenter.prompt(region.points, region.point_labels, region.box) for region in regions]
            answer = await self._segmenter.segment(request, source, prompts) if prompts else None
            best = [masks[0] for masks in answer.masks] if answer is not None else []
            found = [(mask, region.label) for mask, region in zip(best, regions, strict=True)]  # type: ignore[misc]
        scores = [mask.predicted_iou for mask, _ in found]
        size = found[0][0].rle.size if found else (0, 0)
        regions_of_masks = await aside(size[0] * size[1] * len(found), lambda: results(found, control))
        return {
            "result": regions_of_masks,
            "model_version": _version(source.model),
            "score": sum(scores) / len(scores) if scores else 0.0,
        }

    async def _picture(self, request: Request, task: Task, control: Control, project: str, model: str) -> ImageSource:
        """The picture of a task: its bytes in a data URI, or fetched."""
        where = task.data.get(control.value)
        if not isinstance(where, str) or not where:
            raise InvalidRequest(f"the task has no {control.value[:64]!r} in its data", "/tasks")
        if where[:5].lower() == "data:":
            data = await aside(len(where), lambda: image_bytes(where))
        else:
            label_studio = self._projects.get((request.state.caller, project))
            if label_studio is not None and label_studio.hostname:
                url = label_studio.url_of(where)
                authorization = label_studio.authorization_for(url)
            elif _WHOLE.match(where):
                url, authorization = where, None
            else:
                raise InvalidRequest(
                    "this server does not know the project's Label Studio: connect the backend again in the project's "
                    "settings",
                    "/project",
                )
            data = await self._fetch.fetch(url, request.state.body_share, authorization)
        return await aside(len(data), lambda: self._segmenter.picture(data, request.state.caller, model))


def _version(model: str) -> str:
    return f"sam-serve-{model}"
