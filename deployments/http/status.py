"""What the server says of itself: `/backend_info` and `/health`, asked of the replicas and not of the settings."""

import asyncio
import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from deployments.calls.errors import NotReady
from deployments.calls.remote import RemoteDeployment
from deployments.http.model_service import ModelService
from deployments.settings.server import Settings
from segmentation.backends.protocol import RuntimeInfo
from segmentation.backends.select import RuntimePlan

PATIENCE_S = 5.0
HEALTH_KEPT_S = 1.0
_DISTRIBUTIONS = ("sam-serve", "ray", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch")
_LIMITS = (
    "max_body_mb",
    "max_body_total_mb",
    "max_megapixels",
    "max_prompts",
    "max_points_per_side",
    "max_crop_layers",
    "max_grid_points",
    "max_queue",
    "max_auto_queue",
    "max_queue_per_key",
    "prompt_timeout_s",
    "auto_timeout_s",
)


class HealthCheck:
    """`check_health` at most once in a while, whoever asks: needs no key and no slot, and asks every replica.

    Args:
        keep_s: seconds for which an answer, good or bad, is given again.
    """

    def __init__(
        self, remotes: Sequence[RemoteDeployment], *, patience_s: float = PATIENCE_S, keep_s: float = HEALTH_KEPT_S
    ) -> None:
        self._remotes = remotes
        self._patience_s = patience_s
        self._keep_s = keep_s
        self._latest: asyncio.Task[None] | None = None
        self._asked = 0.0

    async def check(self) -> None:
        """Returns if every deployment lives.

        Raises:
            NotReady: as `check_health`.
        """
        now = time.monotonic()
        if self._latest is None or (self._latest.done() and now - self._asked >= self._keep_s):
            self._asked = now
            self._latest = asyncio.create_task(check_health(self._remotes, self._patience_s))
            self._latest.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._latest)


async def check_health(remotes: Sequence[RemoteDeployment], patience_s: float = PATIENCE_S) -> None:
    """Asks every deployment for a sign of life.

    Raises:
        NotReady: one of them has no replica that gives it; names the deployment.
    """
    answers = await asyncio.gather(*(remote.broadcast("describe", timeout_s=patience_s) for remote in remotes))
    silent = [remote.name for remote, answer in zip(remotes, answers, strict=True) if not answer]
    if silent:
        raise NotReady(f"no ready replica of {', '.join(silent)}")


async def list_models(models: Sequence[ModelService]) -> list[dict[str, object]]:
    """The answer of `/models`, the default first."""
    ready = await asyncio.gather(*(model.is_ready() for model in models))
    return [
        {
            "name": model.config.name,
            "family": model.config.plan.spec.family,
            "default": index == 0,
            "ready": is_ready,
            "image_size": model.config.plan.spec.architecture.image_size,
            "embedding_shape": [1, *model.config.plan.spec.architecture.embedding_shape],
            "precision": model.config.plan.precision,
            "licence": model.config.plan.spec.licence,
        }
        for index, (model, is_ready) in enumerate(zip(models, ready, strict=True))
    ]


async def backend_info(
    encoder: RemoteDeployment, plan: RuntimePlan, settings: Settings, sources: Mapping[str, str]
) -> dict[str, object]:
    """The answer of `/backend_info`.

    Raises:
        NotReady: no encoder replica answers.
    """
    running: list[RuntimeInfo] = await encoder.broadcast("describe", timeout_s=PATIENCE_S)
    if not running:
        raise NotReady(f"no ready replica of {encoder.name}")
    first = running[0]
    return {
        "backend": first.backend,
        "model_type": plan.spec.name,
        "models": list(settings.models or (plan.spec.name,)),
        "use_gpu": settings.use_gpu,
        "performance_mode": settings.performance_mode,
        "device": "cuda" if all(runtime.device == "cuda" for runtime in running) else "cpu",
        "onnx_available": plan.onnx_available,
        "pytorch_available": plan.pytorch_available,
        "onnx_providers": list(first.providers),
        "precision": first.precision,
        "quality": None if plan.quality is None else asdict(plan.quality),
        "versions": versions(),
        "limits": {name: getattr(settings, name) for name in _LIMITS},
        "settings_source": dict(sources),
    }


def versions() -> dict[str, str]:
    """Versions of what is installed here, by distribution."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
