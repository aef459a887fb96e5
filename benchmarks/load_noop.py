"""A Serve graph of the same hops as a prompt on a held picture, without any work: the floor of its latency.

Ingress -> encoder (an embedding by reference, to the replica that a key names) -> decoder -> ingress, called as the
server's own pipelines call. The body is read and parsed, and the answer has the size of a real one.

Imported by Serve only: `import_path: benchmarks.load_noop:build`.
"""

import json
from typing import Any, cast

import numpy as np
from pydantic import BaseModel
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.app import CONSISTENT_HASH
from deployments.calls.messages import EncodedImage, PromptAnswer, PromptJob, StageTimes
from deployments.calls.ray_remote import RayDeployment
from deployments.calls.remote import result


class NoopArgs(BaseModel):
    """embedding_shape: of the model that it stands in for. answer_bytes: size of a real answer."""

    embedding_shape: tuple[int, int, int]
    answer_bytes: int


class NoopEncoder:
    """Holds one embedding, which is anybody's."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._embedding = np.zeros(shape, np.float32)

    async def fetch(self, key: str) -> EncodedImage:
        return EncodedImage(key, self._embedding, (1, 1))


class NoopDecoder:
    """Answers every prompt with as many characters as masks have."""

    def __init__(self, answer_bytes: int) -> None:
        self._answer = PromptAnswer((1, 1), (({"counts": "0" * answer_bytes},),), StageTimes())

    async def segment(self, encoded: EncodedImage, job: PromptJob) -> PromptAnswer:
        return self._answer


class NoopIngress:
    """One route, `POST /segment`."""

    def __init__(self, encoder: "DeploymentHandle[Any]", decoder: "DeploymentHandle[Any]") -> None:
        self._encoder = RayDeployment("NoopEncoder", encoder)
        self._decoder = RayDeployment("NoopDecoder", decoder)

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Route("/segment", self._segment, methods=["POST"])])

    async def _segment(self, request: Request) -> Response:
        key = json.loads(await request.body())["image_id"]
        encoded = self._encoder.call("fetch", key, key=key)
        answer = await result(self._decoder.call("segment", encoded, PromptJob(())), encoded)
        return Response(json.dumps(answer.results), media_type="application/json")


def build(args: NoopArgs) -> Application:
    """The graph, with the server's own options for each deployment but the CPUs, of which it needs none."""

    def deployment(kind: object, **options: Any) -> Deployment:
        return cast("Deployment", serve.deployment(cast("Any", kind))).options(
            num_replicas=1, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=256, **options
        )

    encoder = deployment(NoopEncoder, request_router_config=CONSISTENT_HASH).bind(args.embedding_shape)
    decoder = deployment(NoopDecoder).bind(args.answer_bytes)
    return deployment(serve.ingress(None)(NoopIngress), name="NoopIngress").bind(encoder, decoder)
