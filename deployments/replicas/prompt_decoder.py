"""The `PromptDecoder` deployment: prompts of different requests, batched, to finished masks.

Holds nothing that matters; knows no Ray.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from deployments.calls.messages import Encoded, EncodedImage, PromptAnswer, PromptJob, StageTimes
from deployments.replicas.batching import Batcher
from deployments.replicas.caches.prepared_images import PreparedImages
from deployments.replicas.decoder_trial import try_decoder
from deployments.replicas.image_encoder import MB, refuse_other_device
from deployments.replicas.mask_json import prompt_mask
from deployments.replicas.runtime_watch import RuntimeWatch
from deployments.replicas.user_config import read_limits
from deployments.telemetry.events import EmitEvent, Running, open_discard
from deployments.telemetry.tracing import traced
from segmentation.backends.protocol import DecoderBackend, RuntimeInfo
from segmentation.errors import InvalidRequest, SegmentationError
from segmentation.predict import segment
from segmentation.prompts import validate_prompt
from segmentation.timed_decoder import TimedDecoder
from segmentation.types import Prompt, Size
from segmentation.warmup import warm_up

_Job = tuple[EncodedImage, PromptJob]


@traced
class PromptDecoder:
    """One replica: an adaptive batcher before the prompt encoder and mask decoder.

    Args:
        open_backend: loads the runtime; called once, in the replica.
        device: the device this replica was given, "cuda" or "cpu".
        max_batch: prompts decoded together at most.
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
        self._watch = RuntimeWatch(lambda: try_decoder(self._backend), stuck_after_s=stuck_after_s)
        emit = open_ray_metrics()
        emit(Running(self._backend.runtime))
        self._batcher: Batcher[_Job, PromptAnswer] = Batcher(
            self._run,
            ThreadPoolExecutor(1, thread_name_prefix="decoder"),
            max_weight=max_batch,
            weigh=lambda job: len(job[1].prompts),
            emit=emit,
        )

    def reconfigure(self, user_config: Mapping[str, float]) -> None:
        """Serve's hook for limits that change while running: `max_batch`, `cache_mb`."""
        limits = read_limits(user_config, ("max_batch", "cache_mb"))
        if "max_batch" in limits:
            self._batcher.max_weight = int(limits["max_batch"])
        if "cache_mb" in limits:
            self._images.max_bytes = int(limits["cache_mb"] * MB)

    def check_health(self) -> None:
        """Serve's hook; raises when this replica must be replaced."""
        self._watch.check()

    async def describe(self) -> RuntimeInfo:
        """What really runs here."""
        return self._backend.runtime

    async def segment(self, encoded: Encoded, job: PromptJob) -> PromptAnswer | SegmentationError:
        """The masks of one request. Errors that the caller can mend come back as values, those of `encoded` too."""
        if isinstance(encoded, SegmentationError):
            return encoded
        side = self._backend.architecture.low_res_side
        try:
            job = replace(job, prompts=validate_prompts(job.prompts, encoded.size, side))
        except InvalidRequest as error:
            return error
        batched = await self._batcher.submit((encoded, job))
        answer = batched.result
        waited = StageTimes(encode_s=encoded.encode_s, queue_s=encoded.waited_s + batched.waited_s)
        return replace(answer, stage_times=answer.stage_times + waited)

    def _run(self, jobs: Sequence[_Job]) -> list[PromptAnswer]:
        groups: dict[tuple[str, bool, bool], list[int]] = defaultdict(list)
        for index, (encoded, job) in enumerate(jobs):
            groups[encoded.key, job.multimask, job.return_logits].append(index)
        answers: dict[int, PromptAnswer] = {}
        for indices in groups.values():
            group = [jobs[index] for index in indices]
            with self._watch.run(sum(len(job.prompts) for _, job in group)):
                answers.update(zip(indices, self._run_group(group), strict=True))
        return [answers[index] for index in range(len(jobs))]

    def _run_group(self, jobs: Sequence[_Job]) -> list[PromptAnswer]:
        """Jobs on one picture, wanting the same kind of masks: one call of the decoder for all their prompts."""
        encoded, first = jobs[0]
        decoder = TimedDecoder(self._backend)
        started = time.perf_counter()
        image = self._images.get(encoded.key, encoded.embedding)
        prepared = time.perf_counter()
        prompts = [prompt for _, job in jobs for prompt in job.prompts]
        records = iter(
            segment(
                decoder,
                image,
                encoded.size,
                prompts,
                multimask=first.multimask,
                return_logits=first.return_logits,
            )
        )
        shared = StageTimes(
            prompt_s=prepared - started + decoder.seconds,
            postprocess_s=time.perf_counter() - prepared - decoder.seconds,
        )
        answers = []
        for _, job in jobs:
            started = time.perf_counter()
            results = tuple(
                tuple(prompt_mask(record, job.mask_format) for record in next(records)) for _ in job.prompts
            )
            stage_times = shared + StageTimes(postprocess_s=time.perf_counter() - started)
            answers.append(PromptAnswer(encoded.size, results, stage_times))
        return answers


def validate_prompts(prompts: Sequence[Prompt], size: Size, low_res_side: int) -> tuple[Prompt, ...]:
    """The prompts of a request with their boxes clipped to the picture.

    Raises:
        InvalidRequest: names the first field that is wrong.
    """
    return tuple(
        validate_prompt(prompt, size, low_res_side, f"/prompts/{index}") for index, prompt in enumerate(prompts)
    )
