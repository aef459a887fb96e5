"""What the protocols ask of the server: masks of prompts, masks of everything, and embeddings, of a picture.

The one module of this package that knows the pipelines.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from deployments.calls.errors import not_held
from deployments.calls.messages import Json, PictureFile, PromptJob, StageTimes
from deployments.calls.npy import from_base64_npy
from deployments.http.auth import Caller
from deployments.http.deadline import Deadline
from deployments.http.request_values import to_parameters
from deployments.http.requests import MAX_POINTS_PER_PROMPT, AutomaticRequest, parse
from deployments.http.responses import timing_ms
from deployments.http.service import Service
from deployments.pipelines.automatic import Finished, GridRun, Started
from deployments.pipelines.pictures import ImageSource, belongs_to, image_id_of
from deployments.telemetry.events import Answered
from deployments.telemetry.logs import note
from segmentation.automatic.generate import AutomaticParameters
from segmentation.errors import InvalidRequest, LimitExceeded
from segmentation.transforms import InputFrame
from segmentation.types import Prompt, Rle, Size


@dataclass(frozen=True, slots=True)
class ToolMask:
    """One mask.

    bbox: (x, y, width, height), the pixel extent; zeros for an empty mask.
    area: pixels.
    logits: float32 [low_res_side, low_res_side], when asked for.
    """

    rle: Rle
    bbox: tuple[int, int, int, int]
    area: int
    predicted_iou: float
    stability_score: float
    logits: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class PromptMasks:
    """`masks[p]`: the masks of prompt p, best first. size: (height, width) of the picture."""

    size: Size
    masks: tuple[tuple[ToolMask, ...], ...]


@dataclass(frozen=True, slots=True)
class AllMasks:
    """The masks of a whole picture, in SAM's order. size: (height, width) of the picture."""

    size: Size
    masks: tuple[ToolMask, ...]


class Segmenter:
    """Answers for one protocol.

    Args:
        protocol: its name, for metrics.
    """

    def __init__(self, service: Service, protocol: str) -> None:
        self._service = service
        self._protocol = protocol
        self.settings = service.config.settings

    @property
    def max_body_bytes(self) -> int:
        return int(self.settings.max_body_mb * 1_000_000)

    @property
    def default_model(self) -> str:
        return self._service.config.plan.spec.name

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that this server offers, the default first."""
        return tuple(model.name for model in self._service.config.models)

    def model_named(self, name: str | None, tools_own: Collection[str] = ()) -> str:
        """The model that a request names; the default where it names none.

        Args:
            tools_own: names that the tool's clients send without being asked to. One that is not offered stands for the
                default.

        Raises:
            InvalidRequest: it is not offered; names those that are.
        """
        if not name or (name in tools_own and name not in self.models):
            return self.default_model
        return self._service.config.model(name).name

    def checkpoint(self, model: str) -> str:
        """The file name of a model's checkpoint."""
        return str(self._service.config.model(model).plan.spec.file).rpartition("/")[2]

    def frame(self, model: str) -> InputFrame:
        """The square that a picture becomes for a model's encoder."""
        return self._service.config.model(model).plan.spec.architecture.frame

    def low_res_side(self, model: str) -> int:
        """The side of a model's masks before they are enlarged, in pixels."""
        return self._service.model(model).low_res_side

    def device(self, model: str) -> str:
        """Where a model's encoder runs."""
        return self._service.config.model(model).sizing.encoder.device

    def caller_of(self, key: str | None) -> Caller:
        """The sender of a request that carries its key in the body.

        Raises:
            Unauthorized: a key is needed, and this is none or a wrong one.
        """
        return self._service.api_keys.caller(key)

    def place_of_key(self, caller: Caller) -> AbstractContextManager[None]:
        """Counts the request against the bound of its key, where the edge did not know the key.

        Raises:
            Overloaded: the key has all the requests under way that it may have.
        """
        return self._service.admission.place_of_key(caller)

    def picture(self, data: bytes, caller: Caller, model: str) -> ImageSource:
        """A picture as it was sent, under the id that its content has for a model of `models`."""
        file = PictureFile(data)
        identity = self._service.config.model(model).identity
        return ImageSource(image_id_of(file, key=caller.identity, model=identity), file, model)

    def picture_by_id(self, image_id: str, caller: Caller, model: str) -> ImageSource:
        """A picture that was sent before, for the same model of `models`.

        Raises:
            UnknownImage: the id is somebody else's.
        """
        if not belongs_to(image_id, caller.identity):
            raise not_held()
        return ImageSource(image_id, model=model)

    def prompt(
        self,
        points: Sequence[tuple[float, float]] = (),
        labels: Sequence[int] = (),
        box: Sequence[float] | None = None,
        mask_input: NDArray[np.float32] | None = None,
    ) -> Prompt:
        """A prompt of finite coordinates in pixels; labels are 1 for foreground and 0 for background.

        Raises:
            InvalidRequest: the prompt is empty, or has more points than labels; `LimitExceeded` for too many points.
        """
        if len(points) > MAX_POINTS_PER_PROMPT:
            raise LimitExceeded(f"at most {MAX_POINTS_PER_PROMPT} points in one prompt")
        if len(points) != len(labels):
            raise InvalidRequest(f"one label per point: {len(labels)} for {len(points)} points")
        if not points and box is None and mask_input is None:
            raise InvalidRequest("a prompt has a point or a box")
        return Prompt(
            points=_float32(points).reshape(-1, 2),
            labels=np.array(labels, np.int64),
            box=None if box is None else _float32(box),
            mask_input=mask_input,
        )

    async def segment(
        self,
        request: Request,
        source: ImageSource,
        prompts: Sequence[Prompt],
        *,
        multimask: bool = True,
        with_logits: bool = False,
    ) -> PromptMasks:
        """The masks of prompts, as `/segment` has them.

        Raises:
            SegmentationError: what is wrong.
        """
        if len(prompts) > self.settings.max_prompts:
            raise LimitExceeded(f"at most {self.settings.max_prompts} prompts in one request")
        started = time.perf_counter()
        async with Deadline(self.settings.prompt_timeout_s).guard():
            job = PromptJob(tuple(prompts), multimask, with_logits, "rle")
            answer, decode_s = await self._service.model(source.model).prompts.segment(source, job)
        self._answered(request, source, answer.stage_times, decode_s, started, sum(map(len, answer.results)))
        side = self.low_res_side(source.model)
        found = tuple(tuple(_tool_mask(mask, side) for mask in masks) for masks in answer.results)
        return PromptMasks(answer.size, found)

    async def everything(
        self, request: Request, source: ImageSource, parameters: Mapping[str, Any] | None = None
    ) -> AllMasks:
        """The masks of the whole picture, as `/segment/auto` has them with these parameters.

        The request takes a slot of a run, where it has one of a prompt.

        Raises:
            SegmentationError: what is wrong; `Overloaded` where no slot of a run is free.
        """
        request.state.place.become_run()
        started = time.perf_counter()
        resources = self._service.model(source.model).grid_resources
        run = GridRun(resources, source, self.automatic(parameters or {}), "rle")
        async with aclosing(Deadline(self.settings.auto_timeout_s).until(run.events())) as steps:
            size = (0, 0)
            async for step in steps:
                if isinstance(step, Started):
                    size = step.size
                elif isinstance(step, Finished):
                    self._answered(request, source, step.stage_times, step.decode_s, started, len(step.masks))
                    side = self.low_res_side(source.model)
                    return AllMasks(size, tuple(_tool_mask(mask, side) for mask in step.masks))
        raise RuntimeError("the run of automatic masks ended without an answer")

    def automatic(self, parameters: Mapping[str, Any]) -> AutomaticParameters:
        """The server's profile with these parameters over it.

        Raises:
            InvalidRequest: a value that can't be; `LimitExceeded` for one beyond the server's limits.
        """
        return to_parameters(parse(AutomaticRequest, dict(parameters)), self.settings)

    async def prepare(self, request: Request, source: ImageSource) -> Size:
        """Encodes a picture, so that prompts find its embedding: (height, width) of the picture."""
        started = time.perf_counter()
        async with Deadline(self.settings.prompt_timeout_s).guard():
            record, decode_s = await self._service.model(source.model).prompts.embed(source)
        stage_times = StageTimes(encode_s=record.encode_s, queue_s=record.waited_s)
        self._answered(request, source, stage_times, decode_s, started, 0)
        return record.size

    async def embedding(self, request: Request, source: ImageSource) -> tuple[NDArray[np.float32], Size]:
        """(float32 [1, C, h, w], (height, width) of the picture)."""
        size = await self.prepare(request, source)
        async with Deadline(self.settings.prompt_timeout_s).guard():
            encoded = await self._service.model(source.model).prompts.embedding(source.image_id)
        return encoded.embedding[None], size

    def _answered(
        self,
        request: Request,
        source: ImageSource,
        stage_times: StageTimes,
        decode_s: float,
        started: float,
        masks: int,
    ) -> None:
        timing = timing_ms(stage_times, decode_s, time.perf_counter() - started)
        route = str(getattr(request.scope.get("route"), "path", ""))
        self._service.emit(Answered(route, timing, masks, source.model, self._protocol))
        note(masks=masks, ms={stage: milliseconds for stage, milliseconds in timing.items() if milliseconds})


def _tool_mask(mask: Json, low_res_side: int) -> ToolMask:
    fields: dict[str, Any] = dict(mask)
    rle = fields["segmentation"]
    x, y, width, height = fields["bbox"]
    logits = fields.get("logits")
    return ToolMask(
        rle=Rle((rle["size"][0], rle["size"][1]), rle["counts"]),
        bbox=(x, y, width, height),
        area=fields["area"],
        predicted_iou=fields["predicted_iou"],
        stability_score=fields["stability_score"],
        logits=None if logits is None else from_base64_npy(logits, (low_res_side, low_res_side), ""),
    )


def _float32(values: Sequence[Any]) -> NDArray[np.float32]:
    limit = np.finfo(np.float32).max
    return np.array(values, np.float64).clip(-limit, limit).astype(np.float32)
