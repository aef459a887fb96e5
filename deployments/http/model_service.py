"""What a request needs of one model: its pipelines over its own deployments. Wired once per replica of the ingress."""

from dataclasses import dataclass

from deployments.calls.remote import RemoteDeployment
from deployments.calls.replica_count import ReplicaCount
from deployments.pipelines.analysis import AnalysisPipeline
from deployments.pipelines.automatic import GridResources
from deployments.pipelines.known_pictures import KnownPictures
from deployments.pipelines.pictures import DecoderWorkers, PictureDecoder
from deployments.pipelines.prompts import PromptPipeline
from deployments.settings.server import Settings
from deployments.sizing import Sizing
from segmentation.backends.select import RuntimePlan
from segmentation.weights.architecture import SAM_PREPROCESS

READY_WAIT_S = 1.0
"""Until a model without a replica that answers counts as not ready."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What the builder decided for one model."""

    plan: RuntimePlan
    sizing: Sizing

    @property
    def name(self) -> str:
        return self.plan.spec.name

    @property
    def identity(self) -> str:
        """Everything about the model that an embedding depends on."""
        plan = self.plan
        preprocess = plan.spec.preprocess
        suffix = "" if preprocess == SAM_PREPROCESS else f"/{preprocess}"
        return f"{plan.spec.name}/{plan.backend}/{plan.source}/{plan.precision}{suffix}"


@dataclass(frozen=True, slots=True)
class ModelRemotes:
    """The deployments of one model."""

    encoder: RemoteDeployment
    decoder: RemoteDeployment
    grid: RemoteDeployment


class ModelService:
    """One model's pipelines.

    Args:
        config: of the model.
        settings: of the server.
        remotes: the model's deployments.
        workers: decode pictures.
        known: pictures that were encoded; their ids tell models apart.
        analyzer: measures masks, of all models.
    """

    def __init__(
        self,
        config: ModelConfig,
        settings: Settings,
        remotes: ModelRemotes,
        workers: DecoderWorkers,
        known: KnownPictures,
        analyzer: RemoteDeployment,
    ) -> None:
        self.config = config
        self.encoder = remotes.encoder
        self.remotes = (remotes.encoder, remotes.decoder, remotes.grid)
        architecture = config.plan.spec.architecture
        self.low_res_side = architecture.low_res_side
        picture_decoder = PictureDecoder(workers, frame=architecture.frame, max_megapixels=settings.max_megapixels)
        self.picture_decoder = picture_decoder
        self.prompts = PromptPipeline(remotes.encoder, remotes.decoder, picture_decoder, self.low_res_side, known)
        self.grid_resources = GridResources(
            encoder=remotes.encoder,
            grid=remotes.grid,
            picture_decoder=picture_decoder,
            encoder_batch=settings.encoder_batch,
            encoder_replicas=ReplicaCount(remotes.encoder, config.sizing.encoder.replicas),
            grid_replicas=ReplicaCount(remotes.grid, config.sizing.grid.replicas),
            keeps_candidates=settings.candidate_cache_mb > 0,
            known=known,
        )
        self.analysis = AnalysisPipeline(remotes.encoder, analyzer, self.prompts, self.grid_resources)

    async def is_ready(self) -> bool:
        """Whether an encoder replica answers; where the model has scaled to zero, none does."""
        return bool(await self.encoder.broadcast("describe", timeout_s=READY_WAIT_S))
