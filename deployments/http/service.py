"""What the routes work with: the pipelines over the other deployments, and the limits. Wired here once per replica."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from deployments.calls.remote import Peer
from deployments.calls.replica_count import ReplicaCount
from deployments.http.admission.byte_budget import ByteBudget
from deployments.http.admission.limiter import Admission
from deployments.http.auth import Keyring
from deployments.pipelines.automatic import Workshop
from deployments.pipelines.pictures import Darkroom
from deployments.pipelines.prompts import PromptPipeline
from deployments.sizing import Sizing
from deployments.telemetry.events import Report, unreported
from segmentation.backends.select import RuntimePlan
from segmentation.settings import Settings

RUNS_AT_ONCE = 4
"""Runs of automatic masks that work at once: one busies every grid replica, and each may hold a decoded picture."""


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
    """The parts behind the routes, over any peers; `report` is told of every request."""

    def __init__(
        self, config: ServiceConfig, encoder: Peer, decoder: Peer, grid: Peer, report: Report = unreported
    ) -> None:
        self.config = config
        self.report = report
        self.encoder = encoder
        self.peers = (encoder, decoder, grid)
        self.keyring = Keyring(config.settings.api_keys)
        self.admission = Admission(config.settings.max_queue, config.settings.max_queue_per_key)
        self.body_budget = ByteBudget(int(config.settings.max_body_total_mb * 1_000_000))
        architecture = config.plan.spec.architecture
        self.low_res_side = architecture.low_res_side
        darkroom = Darkroom(
            ThreadPoolExecutor(config.sizing.ingress_threads, thread_name_prefix="darkroom"),
            side=architecture.image_size,
            max_megapixels=config.settings.max_megapixels,
        )
        self.prompts = PromptPipeline(encoder, decoder, darkroom, self.low_res_side)
        self.workshop = Workshop(
            encoder=encoder,
            grid=grid,
            darkroom=darkroom,
            encoder_batch=config.settings.encoder_batch,
            encoder_replicas=ReplicaCount(encoder, config.sizing.encoder.replicas),
            grid_replicas=ReplicaCount(grid, config.sizing.grid.replicas),
            keeps_candidates=config.settings.candidate_cache_mb > 0,
            runs=asyncio.Semaphore(RUNS_AT_ONCE),
        )
