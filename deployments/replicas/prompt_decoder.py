"""The `PromptDecoder` deployment: prompts of different requests, batched, to finished masks.

Keeps only what can be made again; knows no Ray.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from deployments.calls.messages import (
    Encoded,
    EncodedImage,
    Json,
    NotPrepared,
    PromptAnswer,
    PromptJob,
    StageTimes,
)
from deployments.replicas.batching import Batcher
from deployments.replicas.caches.prepared_images import PreparedImages, PreparedPicture
from deployments.replicas.decoder_trial import try_decoder
from deployments.replicas.image_encoder import MB, refuse_other_device
from deployments.replicas.mask_json import AnswerSize, prompt_mask, write_masks
from deployments.replicas.prompt_parts import cost_of, is_costly, parts_of
from deployments.replicas.runtime_watch import RuntimeWatch
from deployments.replicas.scheduling import stand_back
from deployments.replicas.user_config import read_limits
from deployments.telemetry.events import EmitEvent, Running, open_discard
from deployments.telemetry.tracing import traced
from segmentation.backends.protocol import DecoderBackend, RuntimeInfo
from segmentation.errors import InvalidRequest, LimitExceeded, SegmentationError
from segmentation.predict import segment
from segmentation.prompts import validate_prompts
from segmentation.timed_decoder import TimedDecoder
from segmentation.types import MaskRecord, Prompt, Size
from segmentation.warmup import warm_up

FORMAT_THREADS = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """Prompts of one request that are decoded together.

    key: the picture's id.
    picture: prepared, or the embedding to prepare it from.
    """

    key: str
    picture: PreparedPicture | EncodedImage
    prompts: tuple[Prompt, ...]
    multimask: bool
    return_logits: bool

    @property
    def size(self) -> Size:
        return self.picture.size

    @property
    def cost(self) -> int:
        return sum(cost_of(prompt, self.size) for prompt in self.prompts)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The masks of each prompt of a part, best first, and what they cost."""

    records: list[list[MaskRecord]]
    stage_times: StageTimes


@traced
class PromptDecoder:
    """One replica: an adaptive batcher before the prompt encoder and mask decoder.

    A single prompt may cost as much as fifty clicks, and can't be divided. Such prompts have a batcher and a thread of
    their own, which stands back: clicks go on beside them.

    Args:
        open_backend: loads the runtime; called once, in the replica.
        device: the device this replica was given, "cuda" or "cpu".
        max_batch: prompts decoded together at most; a costly one counts as several, see `cost_of`.
        cache_mb: bound of the pictures kept ready for prompts, in MB (1,000,000 bytes).
        stuck_after_s: see `RuntimeWatch`.
        open_report: makes what is told of runtime and batches; called once, in the replica.
    """

    def __init__(
        self,
        open_backend: Callable[[], DecoderBackend],
        *,
        device: str,
        max_batch: int,
        cache_mb: float = 128,
        stuck_after_s: float = 0,
        open_ray_metrics: Callable[[], EmitEvent] = open_discard,
    ) -> None:
        warm_up()
        self._backend = open_backend()
        refuse_other_device(self._backend.runtime, device)
        self._images = PreparedImages(self._backend.prepare, int(cache_mb * MB))
        self._watches: list[RuntimeWatch] = []
        emit = open_ray_metrics()
        emit(Running(self._backend.runtime))

        def open_batcher(executor: ThreadPoolExecutor) -> Batcher[_Part, _Decoded]:
            watch = RuntimeWatch(lambda: try_decoder(self._backend), stuck_after_s=stuck_after_s)
            self._watches.append(watch)
            return Batcher(
                partial(self._run, watch), executor, max_weight=max_batch, weigh=lambda part: part.cost, emit=emit
            )

        self._batcher = open_batcher(ThreadPoolExecutor(1, thread_name_prefix="decoder"))
        self._costly = open_batcher(ThreadPoolExecutor(1, thread_name_prefix="costly", initializer=stand_back))
        self._formatting = ThreadPoolExecutor(FORMAT_THREADS, thread_name_prefix="format")

    def reconfigure(self, user_config: Mapping[str, float]) -> None:
        """Serve's hook for limits that change while running: `max_batch`, `cache_mb`."""
        limits = read_limits(user_config, ("max_batch", "cache_mb"))
        if "max_batch" in limits:
            self._batcher.max_weight = int(limits["max_batch"])
        if "cache_mb" in limits:
            self._images.max_bytes = int(limits["cache_mb"] * MB)

    def check_health(self) -> None:
        """Serve's hook; raises when this replica must be replaced."""
        for watch in self._watches:
            watch.check()

    async def describe(self) -> RuntimeInfo:
        """What really runs here."""
        return self._backend.runtime

    async def decode_prepared(self, image_id: str, job: PromptJob) -> PromptAnswer | NotPrepared | SegmentationError:
        """The masks of one request, if its picture is prepared here; errors as in `decode`."""
        prepared = self._images.get(image_id)
        return NotPrepared() if prepared is None else await self._answer(image_id, prepared, job, StageTimes())

    async def decode(self, encoded: Encoded, job: PromptJob) -> PromptAnswer | SegmentationError:
        """The masks of one request. Errors that the caller can mend come back as values, those of `encoded` too."""
        if isinstance(encoded, SegmentationError):
            return encoded
        spent = StageTimes(encode_s=encoded.encode_s, queue_s=encoded.waited_s)
        return await self._answer(encoded.key, encoded, job, spent)

    async def _answer(
        self, key: str, picture: PreparedPicture | EncodedImage, job: PromptJob, spent: StageTimes
    ) -> PromptAnswer | SegmentationError:
        """Decodes a part, writes its masks, then takes the next part: requests take turns at the decoder."""
        prompts, side = job.prompts, self._backend.architecture.low_res_side
        if job.validated_for != picture.size:
            try:
                prompts = validate_prompts(prompts, picture.size, side)
            except InvalidRequest as error:
                return error
        results: list[tuple[Json, ...]] = []
        size = AnswerSize(job.mask_format)
        for part in parts_of(prompts, picture.size):
            asked = _Part(key, picture, part, job.multimask, job.return_logits)
            batched = await (self._costly if is_costly(part) else self._batcher).submit(asked)
            started = time.perf_counter()
            for records in batched.result.records:
                try:
                    size.add(records)
                except LimitExceeded as error:
                    return error
                results.append(await write_masks(records, prompt_mask, job.mask_format, self._formatting))
            wrote = StageTimes(postprocess_s=time.perf_counter() - started, queue_s=batched.waited_s)
            spent += batched.result.stage_times + wrote
        return PromptAnswer(picture.size, tuple(results), spent, picture.decode)

    def _run(self, watch: RuntimeWatch, parts: Sequence[_Part]) -> list[_Decoded]:
        groups: dict[tuple[str, bool, bool], list[int]] = defaultdict(list)
        for index, part in enumerate(parts):
            groups[part.key, part.multimask, part.return_logits].append(index)
        decoded: dict[int, _Decoded] = {}
        for indices in groups.values():
            group = [parts[index] for index in indices]
            with watch.run(sum(part.cost for part in group)):
                decoded.update(zip(indices, self._run_group(group), strict=True))
        return [decoded[index] for index in range(len(parts))]

    def _run_group(self, parts: Sequence[_Part]) -> list[_Decoded]:
        """Parts on one picture, wanting the same kind of masks: one call of the decoder for all their prompts."""
        first = parts[0]
        decoder = TimedDecoder(self._backend)
        started = time.perf_counter()
        image = self._prepared(first).image
        prepared = time.perf_counter()
        prompts = [prompt for part in parts for prompt in part.prompts]
        records = iter(
            segment(
                decoder,
                image,
                first.size,
                prompts,
                multimask=first.multimask,
                return_logits=first.return_logits,
            )
        )
        shared = StageTimes(
            prompt_s=prepared - started + decoder.seconds,
            postprocess_s=time.perf_counter() - prepared - decoder.seconds,
        )
        return [_Decoded([next(records) for _ in part.prompts], shared) for part in parts]

    def _prepared(self, part: _Part) -> PreparedPicture:
        if isinstance(part.picture, PreparedPicture):
            return part.picture
        return self._images.prepare(part.key, part.picture.embedding, part.size, part.picture.decode)
