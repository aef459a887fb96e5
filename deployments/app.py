"""`build(args)`: the Serve application. Checks the settings, sizes the graph and binds it; nothing more."""

import logging
import os
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import RequestRouterConfig

from deployments.image_encoder import ImageEncoder
from deployments.ingress import Ingress
from deployments.logs import log_with_serve
from deployments.mask_grid import MaskGridGenerator
from deployments.prompt_decoder import PromptDecoder
from deployments.serve_report import open_report
from deployments.service import ServiceConfig
from deployments.sizing import Part, Sizing, cluster_of, size_graph
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.select import RuntimePlan, open_decoder, open_encoder
from segmentation.preflight import check
from segmentation.settings import Settings

logger = logging.getLogger(__name__)

Backend_co = TypeVar("Backend_co", EncoderBackend, DecoderBackend, covariant=True)

# Calls for one picture go to the replica that holds it.
CONSISTENT_HASH = RequestRouterConfig(
    request_router_class=cast("Any", "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter")
)
GRID_NICENESS = 10


class AppArgs(BaseModel):
    """`args:` of the Serve config: settings by their names without `SAM_`, in lower case; unknown ones are refused."""

    model_config = ConfigDict(extra="allow")


def build(args: AppArgs) -> Application:
    """The graph for these settings on this cluster.

    Raises:
        ConfigurationError: the server can't start; Serve shows its one line as the reason of DEPLOY_FAILED.
    """
    log_with_serve()
    resolved, plan = check(os.environ, args.model_extra or {})
    for line in resolved.lines:
        logger.info("setting %s", line)
    for line in (*resolved.warnings, *plan.findings):
        logger.warning("%s", line)
    settings = resolved.settings
    resources: dict[str, float] = ray.cluster_resources() if ray.is_initialized() else {}  # type: ignore[no-untyped-call]
    sizing = size_graph(settings, cluster_of(resources))
    logger.info("%s on %s, %s; %s", plan.spec.name, plan.backend, plan.precision, sizing)
    config = ServiceConfig(settings, resolved.sources, plan, sizing)
    return _bind(config, settings, plan, sizing)


def _bind(config: ServiceConfig, settings: Settings, plan: RuntimePlan, sizing: Sizing) -> Application:
    pressure = settings.max_queue
    report = partial(open_report, plan.spec.name)
    encoder = _deployment(ImageEncoder, sizing.encoder, 4 * pressure, request_router_config=CONSISTENT_HASH).bind(
        partial(_open, open_encoder, plan, sizing.encoder),
        device=sizing.encoder.device,
        max_batch=settings.encoder_batch,
        cache_mb=settings.embedding_cache_mb,
        open_report=report,
    )
    decoder = _deployment(PromptDecoder, sizing.decoder, 2 * pressure).bind(
        partial(_open, open_decoder, plan, sizing.decoder),
        device=sizing.decoder.device,
        max_batch=settings.decoder_batch,
        open_report=report,
    )
    grid = _deployment(MaskGridGenerator, sizing.grid, 32).bind(
        partial(_open, open_decoder, plan, sizing.grid),
        device=sizing.grid.device,
        niceness=GRID_NICENESS,
        open_report=report,
    )
    # Admission is the ingress's own; Serve's bound lies above it, so that it is never what answers.
    ingress = cast("Deployment", serve.deployment(serve.ingress(None)(Ingress))).options(
        name="Ingress",
        ray_actor_options={"num_cpus": sizing.ingress_cpus},
        max_ongoing_requests=8 * pressure,
        # A replica that is replaced first answers what it has let in.
        graceful_shutdown_timeout_s=settings.auto_timeout_s,
    )
    return ingress.bind(config, encoder, decoder, grid)


class _Opener(Protocol[Backend_co]):
    def __call__(self, plan: RuntimePlan, *, device: str, threads: int) -> Backend_co: ...


def _open(opener: _Opener[Backend_co], plan: RuntimePlan, part: Part) -> Backend_co:
    """Runs in the replica."""
    log_with_serve()
    backend = opener(plan, device=part.device, threads=part.threads)
    logger.info("%s", backend.runtime)
    return backend


def _deployment(kind: type[Any], part: Part, max_ongoing: int, **options: Any) -> Deployment:
    return cast("Deployment", serve.deployment(kind)).options(
        name=kind.__name__,
        num_replicas=part.replicas,
        ray_actor_options={"num_cpus": part.cpus, "num_gpus": part.gpus},
        max_ongoing_requests=max_ongoing,
        **options,
    )
