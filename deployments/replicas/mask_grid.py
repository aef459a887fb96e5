"""The `MaskGridGenerator` deployment: shards of a point grid to candidate masks, and their merging.

Keeps only what can be made again; knows no Ray.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from deployments.calls.messages import Encoded, EncodedImage, GridAnswer, GridShard, ShardAnswer, StageTimes
from deployments.replicas.batching import Batcher
from deployments.replicas.caches.prepared_images import PreparedImages
from deployments.replicas.decoder_trial import try_decoder
from deployments.replicas.image_encoder import refuse_other_device
from deployments.replicas.mask_json import AnswerSize, automatic_mask, write_masks
from deployments.replicas.runtime_watch import RuntimeWatch
from deployments.replicas.scheduling import give_way
from deployments.telemetry.events import EmitEvent, GridGated, Running, open_discard
from deployments.telemetry.tracing import traced
from segmentation.automatic.generate import AutomaticParameters, Candidates, decode_points, merge, merge_crop
from segmentation.backends.protocol import DecoderBackend, PreparedImage, RuntimeInfo
from segmentation.errors import LimitExceeded, SegmentationError
from segmentation.masks.formats import MaskFormat
from segmentation.timed_decoder import TimedDecoder
from segmentation.types import MaskRecord, Size
from segmentation.warmup import warm_up

_Job = tuple[EncodedImage, GridShard]

PREPARED_BYTES = 64_000_000
"""Of the crops kept prepared: the shards of a crop follow each other, with those of some other crops between them."""


@traced
class MaskGridGenerator:
    """One replica: a decoder for shards, and a thread for merging beside it.

    Merging is here and not in the ingress because it is seconds of work on a large grid, and the ingress has other
    callers to answer.

    Args:
        open_backend: loads the runtime; called once, in the replica.
        device: the device this replica was given, "cuda" or "cpu".
        gives_way: its work runs where nobody else wants the CPU, so that prompts stay responsive while grids run.
        stuck_after_s: see `RuntimeWatch`.
        open_report: makes what is told of runtime and shards; called once, in the replica.
    """

    def __init__(
        self,
        open_backend: Callable[[], DecoderBackend],
        *,
        device: str,
        gives_way: bool = False,
        stuck_after_s: float = 0,
        open_ray_metrics: Callable[[], EmitEvent] = open_discard,
    ) -> None:
        # Linux keeps the policy by thread and hands it down to the threads that one starts, so the runtime is opened
        # in the thread that will run it.
        def worker(name: str) -> ThreadPoolExecutor:
            return ThreadPoolExecutor(1, name, initializer=give_way if gives_way else None)

        decoding = worker("grid")
        self._merging = worker("merge")
        warm_up()
        self._backend = decoding.submit(open_backend).result()
        refuse_other_device(self._backend.runtime, device)
        self._images = PreparedImages(self._backend.prepare, PREPARED_BYTES)
        self._emit = open_ray_metrics()
        self._emit(Running(self._backend.runtime))
        self._watch = RuntimeWatch(lambda: try_decoder(self._backend), stuck_after_s=stuck_after_s)
        # A shard is a batch of points already, so shards run one at a time.
        self._batcher: Batcher[_Job, ShardAnswer] = Batcher(
            self._run,
            decoding,
            max_weight=1,
            emit=self._emit,
        )

    def check_health(self) -> None:
        """Serve's hook; raises when this replica must be replaced."""
        self._watch.check()

    async def describe(self) -> RuntimeInfo:
        """What really runs here."""
        return self._backend.runtime

    async def decode(self, encoded: Encoded, shard: GridShard) -> ShardAnswer | SegmentationError:
        """The candidate masks of one shard; an error in the place of the embedding is handed on."""
        if isinstance(encoded, SegmentationError):
            return encoded
        batched = await self._batcher.submit((encoded, shard))
        return replace(batched.result, stage_times=batched.result.stage_times + StageTimes(queue_s=batched.waited_s))

    async def merge(
        self,
        crops: Sequence[Sequence[Candidates]],
        size: Size,
        parameters: AutomaticParameters,
        mask_format: MaskFormat,
    ) -> GridAnswer | SegmentationError:
        """The masks of the whole picture from the candidates of its crops, each by its shards in order."""
        started = time.perf_counter()

        def work() -> list[MaskRecord]:
            return merge([merge_crop(shards, parameters) for shards in crops], size, parameters)

        records = await asyncio.get_running_loop().run_in_executor(self._merging, work)
        try:
            AnswerSize(mask_format).add(records)
        except LimitExceeded as error:
            return error
        masks = await write_masks(records, automatic_mask, mask_format, self._merging)
        return GridAnswer(masks, StageTimes(postprocess_s=time.perf_counter() - started))

    def _run(self, jobs: Sequence[_Job]) -> list[ShardAnswer]:
        answers = []
        for encoded, shard in jobs:
            with self._watch.run(len(shard.points)):
                answers.append(self._run_shard(encoded, shard))
        return answers

    def _run_shard(self, encoded: EncodedImage, shard: GridShard) -> ShardAnswer:
        decoder = TimedDecoder(self._backend)
        started = time.perf_counter()
        image = self._prepared(encoded)
        prepared = time.perf_counter()
        candidates = decode_points(decoder, image, shard.crop_box, shard.size, shard.points, shard.parameters)
        postprocess_s = time.perf_counter() - prepared - decoder.seconds
        self._emit(GridGated(decoder.candidates, decoder.passed))
        return ShardAnswer(
            candidates,
            StageTimes(prompt_s=prepared - started + decoder.seconds, postprocess_s=postprocess_s),
            StageTimes(encode_s=encoded.encode_s, queue_s=encoded.waited_s),
        )

    def _prepared(self, encoded: EncodedImage) -> PreparedImage:
        return self._images.prepare(encoded.key, encoded.embedding, encoded.size).image
