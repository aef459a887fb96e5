"""A Serve graph of the same hops as a prompt on a held picture, without any work: the floor of its latency.

Ingress -> decoder (the replica that a key names) -> ingress, called as the server's own pipelines call.
The body is read and parsed, and the answer has the size of a real one.

Imported by Serve only: `import_path: benchmarks.load_noop:build`.
"""

import json
from typing import Any, cast

from pydantic import BaseModel
from ray import serve
from ray.serve import Application, Deployment
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.app import CONSISTENT_HASH
from deployments.calls.messages import PromptAnswer, PromptJob, StageTimes
from deployments.calls.ray_remote import RayDeployment
from deployments.calls.remote import result


class NoopArgs(BaseModel):
    """answer_bytes: size of a real answer."""

    answer_bytes: int


class NoopDecoder:
    """Answers every prompt with as many characters as masks have."""

    def __init__(self, answer_bytes: int) -> None:
        self._answer = PromptAnswer((1, 1), (({"counts": "0" * answer_bytes},),), StageTimes())

    async def decode_prepared(self, image_id: str, job: PromptJob) -> PromptAnswer:
        return self._answer


class NoopIngress:
    """One route, `POST /segment`."""

    def __init__(self, decoder: "DeploymentHandle[Any]") -> None:
        self._decoder = RayDeployment("NoopDecoder", decoder)

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Route("/segment", self._segment, methods=["POST"])])

    async def _segment(self, request: Request) -> Response:
        key = json.loads(await request.body())["image_id"]
        answer: PromptAnswer = await result(self._decoder.call("decode_prepared", key, PromptJob(()), key=key))
        return Response(json.dumps(answer.results), media_type="application/json")


def build(args: NoopArgs) -> Application:
    """The graph, with the server's own options for each deployment but the CPUs, of which it needs none."""

    def deployment(kind: object, **options: Any) -> Deployment:
        return cast("Deployment", serve.deployment(cast("Any", kind))).options(
            num_replicas=1, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=256, **options
        )

    decoder = deployment(NoopDecoder, request_router_config=CONSISTENT_HASH).bind(args.answer_bytes)
    return deployment(serve.ingress(None)(NoopIngress), name="NoopIngress").bind(decoder)
