"""The `Ingress` deployment: the HTTP app inside a Serve replica, over handles to the other deployments."""

from typing import Any

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from deployments.calls.ray_remote import RayDeployment
from deployments.http.routes import create_app
from deployments.http.service import Service, ServiceConfig
from deployments.telemetry.logs import log_with_serve
from deployments.telemetry.ray_metrics import open_ray_metrics
from deployments.telemetry.tracing import open_tracer


class Ingress:
    """One replica. Serve asks it for its ASGI app once it is constructed."""

    def __init__(
        self,
        config: ServiceConfig,
        encoder: "DeploymentHandle[Any]",
        decoder: "DeploymentHandle[Any]",
        grid: "DeploymentHandle[Any]",
    ) -> None:
        log_with_serve()
        self._service = Service(
            config,
            RayDeployment("ImageEncoder", encoder),
            RayDeployment("PromptDecoder", decoder),
            RayDeployment("MaskGridGenerator", grid),
            open_ray_metrics(config.plan.spec.name),
        )

    async def close(self) -> int:
        """Lets nobody in any more, and tells how many requests are under way still."""
        self._service.admission.close()
        return self._service.admission.taken

    def __serve_build_asgi_app__(self) -> FastAPI:
        endpoint = self._service.config.settings.otlp_endpoint
        tracer = open_tracer(endpoint, "Ingress") if endpoint else None
        return create_app(self._service, tells_id=False, tracer=tracer)
