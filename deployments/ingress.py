"""The `Ingress` deployment: the HTTP app inside a Serve replica, over handles to the other deployments."""

from typing import Any

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from deployments.logs import log_with_serve
from deployments.peers import RayPeer
from deployments.routes import create_app
from deployments.serve_report import open_report
from deployments.service import Service, ServiceConfig


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
            RayPeer("ImageEncoder", encoder),
            RayPeer("PromptDecoder", decoder),
            RayPeer("MaskGridGenerator", grid),
            open_report(config.plan.spec.name),
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._service, tells_id=False)
