"""What the routes work with: the pipelines over the other deployments, and the limits. Wired here once per replica."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deployments.calls.remote import RemoteDeployment
from deployments.calls.replica_count import ReplicaCount
from deployments.http.admission.byte_budget import ByteBudget
from deployments.http.admission.limiter import Admission
from deployments.http.auth import ApiKeys
from deployments.pipelines.analysis import AnalysisPipeline
from deployments.pipelines.automatic import GridResources
from deployments.pipelines.known_pictures import KnownPictures
from deployments.pipelines.pictures import PictureDecoder
from deployments.pipelines.prompts import PromptPipeline
from deployments.settings.server import Settings
from deployments.sizing import Sizing
from deployments.telemetry.events import EmitEvent, discard
from segmentation.backends.select import RuntimePlan


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """What the builder decided; the same for every replica of the ingress."""

    settings: Settings
    sources: Mapping[str, str]
    plan: RuntimePlan
    sizing: Sizing

    @property
    def model_identity(self) -> str:
        """Everything about the model that an embedding depends on."""
        return f"{self.plan.spec.name}/{self.plan.backend}/{self.plan.source}/{self.plan.precision}"


class Service:
    """The parts behind the routes, over any remote deployments; `emit` gets an event for every request."""

    def __init__(
        self,
        config: ServiceConfig,
        encoder: RemoteDeployment,
        decoder: RemoteDeployment,
        grid: RemoteDeployment,
        analyzer: RemoteDeployment,
        emit: EmitEvent = discard,
    ) -> None:
        self.config = config
        self.emit = emit
        self.encoder = encoder
        self.remotes = (encoder, decoder, grid, analyzer)
        self.api_keys = ApiKeys(config.settings.api_keys)
        self.admission = Admission(config.settings.max_queue, config.settings.max_queue_per_key)
        self.body_budget = ByteBudget(int(config.settings.max_body_total_mb * 1_000_000))
        architecture = config.plan.spec.architecture
        self.low_res_side = architecture.low_res_side
        picture_decoder = PictureDecoder(
            ThreadPoolExecutor(config.sizing.ingress_threads, thread_name_prefix="picture-decoder"),
            frame=architecture.frame,
            max_megapixels=config.settings.max_megapixels,
        )
        known = KnownPictures()
        self.prompts = PromptPipeline(encoder, decoder, picture_decoder, self.low_res_side, known)
        self.grid_resources = GridResources(
            encoder=encoder,
            grid=grid,
            picture_decoder=picture_decoder,
            encoder_batch=config.settings.encoder_batch,
            encoder_replicas=ReplicaCount(encoder, config.sizing.encoder.replicas),
            grid_replicas=ReplicaCount(grid, config.sizing.grid.replicas),
            keeps_candidates=config.settings.candidate_cache_mb > 0,
            known=known,
        )
        self.analysis = AnalysisPipeline(encoder, analyzer, self.prompts, self.grid_resources)
