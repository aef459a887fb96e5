"""The `MaskAnalyzer` deployment: masks and their picture to objects, groups, statistics and files. Knows no Ray.

It has no model. Pictures that were decoded last are kept, as the same picture is analysed again with other rules.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from analysis import (
    Analysis,
    MaskSet,
    Scale,
    Source,
    analyze,
    export,
    read_masks,
    scale_of_file,
)
from analysis.warmup import warm_up
from deployments.calls.analysis_messages import AnalysisAnswer, AnalysisJob
from deployments.calls.messages import Json, PictureFile
from deployments.replicas.caches.decoded_pictures import DecodedPictures
from deployments.replicas.scheduling import give_way
from deployments.telemetry.events import EmitEvent, open_discard
from deployments.telemetry.tracing import traced
from segmentation.errors import SegmentationError
from segmentation.pictures.decoded import DecodedPicture
from segmentation.pictures.processes import DecoderProcesses, Interrupted, Ticket
from segmentation.workers import Workers

AT_ONCE = 2
"""Analyses that are worked on at once. More would only share the CPUs and add up their memory."""


@traced
class MaskAnalyzer:
    """One replica.

    Args:
        threads: that measure the masks of one analysis.
        max_megapixels: the largest picture that is decoded.
        cache_mb: for decoded pictures.
        gives_way: its work runs where nobody else wants the CPU, so that prompts stay responsive.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        max_megapixels: float = 64,
        cache_mb: float = 256,
        gives_way: bool = False,
        open_ray_metrics: Callable[[], EmitEvent] = open_discard,
    ) -> None:
        self._executor = ThreadPoolExecutor(AT_ONCE, "analyzer", initializer=give_way if gives_way else None)
        # Threads inherit the scheduling policy of the thread that starts them.
        self._workers = self._executor.submit(Workers, threads).result()
        processes = DecoderProcesses(AT_ONCE)
        max_bytes = int(cache_mb * 1_000_000)
        self._pictures = DecodedPictures(processes, max_megapixels=max_megapixels, max_bytes=max_bytes)
        self._emit = open_ray_metrics()
        warm_up()
        self._executor.submit(processes.start)  # so that no picture waits for it; a process inherits the policy too

    async def describe(self) -> Json:
        """That the replica answers."""
        return {"threads": self._workers.threads}

    async def analyze(
        self, file: PictureFile | SegmentationError, job: AnalysisJob
    ) -> AnalysisAnswer | SegmentationError:
        """The analysis of one picture's masks.

        An error in the place of the picture is handed on. When the caller is cancelled, the work stops at its next
        step.
        """
        if isinstance(file, SegmentationError):
            return file
        ticket = Ticket()
        asked = time.perf_counter()

        def work() -> AnalysisAnswer | SegmentationError:
            try:
                return self._analyze(file, job, ticket, time.perf_counter() - asked)
            except SegmentationError as error:
                return error

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            ticket.cancel()

    def _analyze(self, file: PictureFile, job: AnalysisJob, ticket: Ticket, queue_s: float) -> AnalysisAnswer:
        def check(*_: float) -> None:
            if ticket.cancelled:
                raise Interrupted

        check()
        started = time.perf_counter()
        picture = self._pictures.read(job.image_id, file, ticket)
        decoded = time.perf_counter()
        size = (picture.rgb.shape[0], picture.rgb.shape[1])
        masks = read_masks(job.masks, size, max_masks=job.max_masks, check=check)
        result = self._result(masks, picture, job, check)
        decode = picture.decode.document()
        written = None
        objects: tuple[Json, ...] = ()
        if job.export is not None:
            source = Source(job.image_id, picture.rgb, {**job.settings, "image_id": job.image_id, "decode": decode})
            written = export(result, job.export, source)
        else:
            made = []
            for index, one in enumerate(result.iter_objects(job.mask_format)):
                if index % 64 == 0:
                    check()
                made.append(one)
            objects = tuple(made)
        return AnalysisAnswer(
            size=size,
            count=len(result),
            head=result.head_json(),
            objects=objects,
            file=written,
            decode=decode,
            decode_s=decoded - started,
            analyse_s=time.perf_counter() - decoded,
            queue_s=queue_s,
        )

    def _result(
        self, masks: MaskSet, picture: DecodedPicture, job: AnalysisJob, check: Callable[..., None]
    ) -> Analysis:
        scale = _scale_of(picture) if job.scale == "file" else job.scale
        return analyze(
            masks,
            rules=job.rules,
            preset=job.preset,
            scale=scale,
            picture=picture,
            predicted_iou=job.predicted_iou,
            stability_score=job.stability_score,
            workers=self._workers,
            progress=check,
        )


def _scale_of(picture: DecodedPicture) -> Scale:
    pixel_size = picture.info.pixel_size
    return scale_of_file(None, None) if pixel_size is None else scale_of_file(pixel_size.x, pixel_size.y)
