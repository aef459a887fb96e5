"""`build(args)`: the Serve application. Checks the settings, sizes the graph and binds it; nothing more."""

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar, cast

import ray
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.config import AutoscalingConfig, BackpressureConfig, RequestRouterConfig

from deployments.calls.errors import Overloaded
from deployments.http.model_service import ModelConfig
from deployments.http.service import ServiceConfig
from deployments.ingress import Ingress
from deployments.load_shedder import OPENER, VARIABLE
from deployments.preflight import check_models
from deployments.replicas.analyzer import MaskAnalyzer
from deployments.replicas.caches.blobs import open_blobs
from deployments.replicas.caches.embedding_store import EmbeddingStore
from deployments.replicas.image_encoder import MB, ImageEncoder
from deployments.replicas.mask_grid import MaskGridGenerator
from deployments.replicas.prompt_decoder import PromptDecoder
from deployments.settings.server import Settings
from deployments.sizing import Part, cluster_of, size_graph
from deployments.telemetry.events import EmitEvent
from deployments.telemetry.logs import log_with_serve
from deployments.telemetry.ray_metrics import open_ray_metrics
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.select import RuntimePlan
from segmentation.weights.manifest import PROJECT_ROOT

logger = logging.getLogger(__name__)

Backend_co = TypeVar("Backend_co", EncoderBackend, DecoderBackend, covariant=True)

# Calls for one picture go to the replica that holds it.
CONSISTENT_HASH = RequestRouterConfig(
    request_router_class=cast("Any", "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter")
)
REFUSED_AT_ONCE = 128
"""Requests in an ingress replica beyond those it admits."""
QUEUED_IN_PROXY = 64
"""Serve also counts requests in transit; a small bound would reject bursts to an idle server."""


BUSY_REQUESTS = 8
"""Calls under way in a replica of a model that follows the load, beyond which another one is started."""
SEEN_S = 3.0
"""Seconds over which those calls are averaged."""


class AppArgs(BaseModel):
    """`args:` of the Serve config: settings by their names without `SAM_`, in lower case; unknown ones are refused."""

    model_config = ConfigDict(extra="allow")


def build(args: AppArgs) -> Application:
    """The graph for these settings on this cluster.

    Raises:
        ConfigurationError: the server can't start; Serve shows its one line as the reason of DEPLOY_FAILED.
    """
    log_with_serve()
    resources: dict[str, float] = ray.cluster_resources() if ray.is_initialized() else {}  # type: ignore[no-untyped-call]
    cluster = cluster_of(resources)
    resolved, plans = check_models(
        os.environ, args.model_extra or {}, device_of=lambda settings: size_graph(settings, cluster).encoder.device
    )
    for line in resolved.lines:
        logger.info("setting %s", line)
    for line in (*resolved.warnings, *(line for plan in plans for line in plan.findings)):
        logger.warning("%s", line)
    if os.environ.get(VARIABLE) != OPENER:
        logger.warning("far over capacity requests are turned away slowly: %s is not %s", VARIABLE, OPENER)
    settings = resolved.settings
    sizing = size_graph(settings, cluster, len(plans))
    for plan in plans:
        logger.info("%s on %s, %s; %s", plan.spec.name, plan.backend, plan.precision, sizing)
    others = tuple(ModelConfig(plan, sizing) for plan in plans[1:])
    return _bind(ServiceConfig(settings, resolved.sources, plans[0], sizing, others))


def _bind(config: ServiceConfig) -> Application:
    settings, sizing = config.settings, config.sizing
    pressure = settings.max_queue
    default = _bind_model(config.default, settings, "")
    others = {model.name: _bind_model(model, settings, f"-{model.name}") for model in config.others}
    analyzer = _deployment(MaskAnalyzer, sizing.analyzer, 2 * pressure, request_router_config=CONSISTENT_HASH).bind(
        threads=sizing.analyzer.threads,
        max_megapixels=settings.max_megapixels,
        gives_way=True,
        open_ray_metrics=partial(open_ray_metrics, config.plan.spec.name),
    )
    # Admission is the ingress's own. Serve's bounds lie above it: they answer only when requests come faster than the
    # ingress can turn them away, and would otherwise wait in the proxy without end.
    ingress = cast("Deployment", serve.deployment(serve.ingress(None)(Ingress))).options(
        name="Ingress",
        logging_config=_logging_config(settings),
        ray_actor_options={"num_cpus": sizing.ingress_cpus},
        max_ongoing_requests=pressure + settings.max_auto_queue + REFUSED_AT_ONCE,
        max_queued_requests=QUEUED_IN_PROXY,
        backpressure_config=BackpressureConfig(status_code=503, retry_after_s=Overloaded.retry_after_s),
        # A replica that is replaced first answers what it has let in.
        graceful_shutdown_timeout_s=settings.auto_timeout_s,
    )
    return ingress.bind(config, *default, analyzer, others)


def _bind_model(model: ModelConfig, settings: Settings, suffix: str) -> tuple[Application, Application, Application]:
    """The deployments of one model: encoder, decoder, grid. With a suffix to their names they may scale to zero."""
    plan, sizing = model.plan, model.sizing
    pressure = settings.max_queue
    idle_s = settings.model_idle_s if suffix else 0.0

    def deployment(kind: type[Any], part: Part, max_ongoing: int, **options: Any) -> Deployment:
        return _deployment(kind, part, max_ongoing, suffix=suffix, idle_s=idle_s, **options)

    emit = partial(open_ray_metrics, plan.spec.name)
    logging_config = _logging_config(settings)
    encoder = deployment(
        ImageEncoder,
        sizing.encoder,
        4 * pressure,
        request_router_config=CONSISTENT_HASH,
        logging_config=logging_config,
    ).bind(
        partial(_open, open_encoder, plan, sizing.encoder),
        device=sizing.encoder.device,
        max_batch=settings.encoder_batch,
        cache_mb=settings.embedding_cache_mb,
        candidates_mb=settings.candidate_cache_mb,
        stuck_after_s=settings.stuck_after_s,
        open_ray_metrics=emit,
        open_store=_opener_of_store(settings, model.identity, plan.spec.architecture.embedding_shape),
    )
    decoder = deployment(
        PromptDecoder,
        sizing.decoder,
        2 * pressure,
        request_router_config=CONSISTENT_HASH,
        logging_config=logging_config,
    ).bind(
        partial(_open, open_decoder, plan, sizing.decoder),
        device=sizing.decoder.device,
        max_batch=settings.decoder_batch,
        cache_mb=settings.prepared_cache_mb,
        stuck_after_s=settings.stuck_after_s,
        open_ray_metrics=emit,
    )
    grid = deployment(MaskGridGenerator, sizing.grid, 32, logging_config=logging_config).bind(
        partial(_open, open_decoder, plan, sizing.grid),
        device=sizing.grid.device,
        gives_way=True,
        # It gives way to others for as long as these want: only what outlasts every request is stuck.
        stuck_after_s=settings.stuck_after_s and max(settings.stuck_after_s, settings.auto_timeout_s),
        open_ray_metrics=emit,
    )
    return encoder, decoder, grid


def _logging_config(settings: Settings) -> dict[str, Any]:
    """Serve's own lines, one for each call of a replica, are for debugging; the ingress writes one for each request."""
    return {
        "encoding": settings.log_format.upper(),
        "log_level": settings.log_level.upper(),
        "enable_access_log": settings.log_level == "debug",
    }


class _Opener(Protocol[Backend_co]):
    def __call__(self, plan: RuntimePlan, *, device: str, threads: int) -> Backend_co: ...


def _open(opener: _Opener[Backend_co], plan: RuntimePlan, part: Part) -> Backend_co:
    """Runs in the replica."""
    log_with_serve()
    backend = opener(plan, device=part.device, threads=part.threads)
    logger.info("%s", backend.runtime)
    return backend


def _opener_of_store(
    settings: Settings, model: str, shape: tuple[int, ...]
) -> Callable[[EmitEvent], EmbeddingStore | None]:
    """Runs in the replica, which is given no more of the settings: digests of API keys stay in the ingress."""
    where, max_bytes = settings.embedding_store, int(settings.embedding_store_mb * MB)

    def open_store(emit: EmitEvent) -> EmbeddingStore | None:
        if not where:
            return None
        blobs = open_blobs(where, max_bytes, relative_to=PROJECT_ROOT)
        return EmbeddingStore(blobs, model=model, shape=shape, emit=emit)

    return open_store


def _deployment(
    kind: type[Any], part: Part, max_ongoing: int, *, suffix: str = "", idle_s: float = 0.0, **options: Any
) -> Deployment:
    """A deployment of `part.replicas`; of none while nobody asks, where `idle_s` is not 0."""
    count: dict[str, Any] = {"num_replicas": part.replicas}
    if idle_s:
        count = {"autoscaling_config": _scaling_to_zero(part.replicas, idle_s)}
    return cast("Deployment", serve.deployment(kind)).options(
        name=f"{kind.__name__}{suffix}",
        ray_actor_options={"num_cpus": part.cpus, "num_gpus": part.gpus},
        max_ongoing_requests=max_ongoing,
        **count,
        **options,
    )


def _scaling_to_zero(replicas: int, idle_s: float) -> AutoscalingConfig:
    """None at first; one as soon as something is asked, more where requests wait; none after `idle_s` without any."""
    return AutoscalingConfig(
        min_replicas=0,
        initial_replicas=0,
        max_replicas=replicas,
        target_ongoing_requests=BUSY_REQUESTS,
        metrics_interval_s=1,
        look_back_period_s=SEEN_S,
        upscale_delay_s=0,
        downscale_delay_s=idle_s,
    )
