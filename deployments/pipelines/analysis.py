"""An analysis, step by step: masks from the model or from the request, then the analyzer. Knows no HTTP."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from deployments.calls.analysis_messages import AnalysisAnswer, AnalysisJob
from deployments.calls.messages import PromptJob, StageTimes
from deployments.calls.remote import RemoteDeployment, result, retry_on_replica_loss
from deployments.pipelines.automatic import Finished, GridResources, GridRun, Progress, Started
from deployments.pipelines.pictures import ImageSource
from deployments.pipelines.prompts import PromptPipeline
from segmentation.automatic.generate import AutomaticParameters
from segmentation.types import Prompt


@dataclass(frozen=True, slots=True)
class GivenMasks:
    """The masks of the request itself, as JSON values: no model runs."""

    values: tuple[Any, ...]


MaskSource = AutomaticParameters | tuple[Prompt, ...] | GivenMasks
"""Where masks come from: a run of automatic masks, prompts (the best mask of each), or the request."""


@dataclass(frozen=True, slots=True)
class Analysing:
    """The masks are there; the analyzer has begun."""

    masks: int


@dataclass(frozen=True, slots=True)
class Analysed:
    """The answer, and what all of it cost."""

    answer: AnalysisAnswer
    stage_times: StageTimes
    decode_s: float


class AnalysisPipeline:
    """Analyses pictures over the other deployments."""

    def __init__(
        self,
        encoder: RemoteDeployment,
        analyzer: RemoteDeployment,
        prompts: PromptPipeline,
        grid_resources: GridResources,
    ) -> None:
        self._encoder = encoder
        self._analyzer = analyzer
        self._prompts = prompts
        self._grid_resources = grid_resources

    async def events(
        self, source: ImageSource, masks: MaskSource, job: AnalysisJob
    ) -> AsyncGenerator[Started | Progress | Analysing | Analysed, None]:
        """`Started` and `Progress` of a run of automatic masks, `Analysing`, `Analysed`. Closing it stops the work.

        Args:
            job: without masks and scores, which are put in here.
        """
        stage_times, decode_s = StageTimes(), 0.0
        match masks:
            case GivenMasks(values):
                job = replace(job, masks=values)
            case AutomaticParameters():
                run = GridRun(self._grid_resources, source, masks, "rle")
                async with aclosing(run.events()) as steps:
                    async for step in steps:
                        if isinstance(step, Finished):
                            job = _with_masks(job, step.masks)
                            stage_times, decode_s = step.stage_times, step.decode_s
                        else:
                            yield step
            case prompts:
                answer, decode_s = await self._prompts.segment(source, PromptJob(prompts))
                job = _with_masks(job, [of_prompt[0] for of_prompt in answer.results])
                stage_times = answer.stage_times
        yield Analysing(len(job.masks))
        analysed = await retry_on_replica_loss(lambda: self._analyse(source, job))
        stage_times += StageTimes(postprocess_s=analysed.analyse_s, queue_s=analysed.queue_s)
        yield Analysed(analysed, stage_times, decode_s + analysed.decode_s)

    async def _analyse(self, source: ImageSource, job: AnalysisJob) -> AnalysisAnswer:
        image_id = source.image_id
        if source.file is not None:
            return await result(self._analyzer.call("analyze", source.file, job, key=image_id))
        # The encoder keeps the file beside the embedding; it goes to the analyzer by reference.
        file = self._encoder.call("file", image_id, key=image_id)
        return await result(self._analyzer.call("analyze", file, job, key=image_id), file)


def _with_masks(job: AnalysisJob, records: "list[Mapping[str, Any]] | tuple[Mapping[str, Any], ...]") -> AnalysisJob:
    return replace(
        job,
        masks=tuple(record["segmentation"] for record in records),
        predicted_iou=tuple(record["predicted_iou"] for record in records),
        stability_score=tuple(record["stability_score"] for record in records),
    )
