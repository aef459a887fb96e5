"""The `Ingress` deployment: the HTTP app inside a Serve replica, over handles to the other deployments."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from deployments.calls.ray_remote import RayDeployment
from deployments.http.model_service import ModelRemotes
from deployments.http.routes import create_app
from deployments.http.service import Service, ServiceConfig
from deployments.http.status import backend_info, check_health
from deployments.telemetry.logs import log_with_serve
from deployments.telemetry.ray_metrics import open_ray_metrics
from deployments.telemetry.tracing import open_tracer
from segmentation.errors import SegmentationError

READY_ASKED_EVERY_S = 1.0

logger = logging.getLogger(__name__)

Handles: TypeAlias = "tuple[DeploymentHandle[Any], DeploymentHandle[Any], DeploymentHandle[Any]]"


def deployment_names(model: str) -> tuple[str, str, str]:
    """Of a model other than the default's, whose deployments are named as their classes."""
    return f"ImageEncoder-{model}", f"PromptDecoder-{model}", f"MaskGridGenerator-{model}"


class Ingress:
    """One replica. Serve asks it for its ASGI app once it is constructed."""

    def __init__(
        self,
        config: ServiceConfig,
        encoder: "DeploymentHandle[Any]",
        decoder: "DeploymentHandle[Any]",
        grid: "DeploymentHandle[Any]",
        analyzer: "DeploymentHandle[Any]",
        others: "Mapping[str, Handles] | None" = None,
    ) -> None:
        """
        Args:
            config: what the builder decided.
            encoder, decoder, grid: the default model's deployments.
            analyzer: of all models.
            others: those of the further models, by name.
        """
        log_with_serve()
        self._service = Service(
            config,
            RayDeployment("ImageEncoder", encoder),
            RayDeployment("PromptDecoder", decoder),
            RayDeployment("MaskGridGenerator", grid),
            RayDeployment("MaskAnalyzer", analyzer),
            open_ray_metrics(config.plan.spec.name),
            {
                model: ModelRemotes(
                    *(
                        RayDeployment(name, handle)
                        for name, handle in zip(deployment_names(model), handles, strict=True)
                    )
                )
                for model, handles in (others or {}).items()
            },
        )
        self._service.workers.start()

    async def close(self) -> int:
        """Lets nobody in any more, and tells how many requests are under way still."""
        self._service.admission.close()
        return self._service.admission.taken

    def __serve_build_asgi_app__(self) -> FastAPI:
        with suppress(RuntimeError):  # outside of an event loop, in tests of Serve's
            self._announcing = asyncio.get_running_loop().create_task(self._announce())
        endpoint = self._service.config.settings.otlp_endpoint
        tracer = open_tracer(endpoint, "Ingress") if endpoint else None
        return create_app(self._service, tells_id=False, tracer=tracer)

    async def _announce(self) -> None:
        """Logs once that the application answers, and where: whatever command has started it."""
        service, config = self._service, self._service.config
        while True:
            try:
                await check_health(service.remotes)
                running = await backend_info(service.encoder, config.plan, config.settings, config.sources)
            except SegmentationError:
                await asyncio.sleep(READY_ASKED_EVERY_S)
                continue
            what = (running["model_type"], running["backend"], running["precision"], running["device"])
            logger.info("ready at %s: %s on %s, %s, %s", _address(), *what)
            return


def _address() -> str:
    """Where the proxy of this node listens."""
    client = serve.context._get_global_client()
    assert client is not None  # a replica always has one
    options = client.http_config
    host = f"[{options.host}]" if ":" in str(options.host) else options.host
    return f"http://{host}:{options.port}{options.root_path.rstrip('/')}"
