"""The graph in one process: the deployments' own classes behind peers that pickle what passes, as Ray does."""

import asyncio
import pickle
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from localised import localised_sam
from numpy.typing import NDArray
from oracle import TINY
from sam_backend import SamDecoder, SamEncoder
from segment_anything.modeling import Sam

from deployments.http.service import Service, ServiceConfig
from deployments.replicas.analyzer import MaskAnalyzer
from deployments.replicas.caches.embedding_store import EmbeddingStore
from deployments.replicas.image_encoder import ImageEncoder
from deployments.replicas.mask_grid import MaskGridGenerator
from deployments.replicas.prompt_decoder import PromptDecoder
from deployments.settings.server import Settings
from deployments.sizing import Cluster, size_graph
from deployments.telemetry.events import EmitEvent, discard
from segmentation.backends.protocol import EncoderBackend
from segmentation.backends.select import RuntimePlan
from segmentation.weights.manifest import ModelSpec

SPEC = ModelSpec(name="tiny", architecture=TINY, file="tiny.pth")
PLAN = RuntimePlan(
    backend="pytorch",
    spec=SPEC,
    precision="fp32",
    model_dir=Path(),
    onnx_dir=Path(),
    source="random",
    onnx_available=False,
    pytorch_available=True,
    findings=(),
)


class LocalCall:
    """A call under way in this process."""

    def __init__(self, task: "asyncio.Task[Any]") -> None:
        self._task = task

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.shield(self._task).__await__()

    def cancel(self) -> None:
        self._task.cancel()


class LocalPeer:
    """One replica in this process. `errors[method]` are raised by the next calls of that method, in order.

    A call given as an argument is awaited first and its result handed over, as a reference is by Ray.
    """

    def __init__(self, name: str, replica: object) -> None:
        self.name = name
        self.replica: object | None = replica
        self.calls: Counter[str] = Counter()
        self.errors: defaultdict[str, list[Exception]] = defaultdict(list)

    def call(self, method: str, *args: object, key: str = "") -> LocalCall:
        self.calls[method] += 1
        return LocalCall(asyncio.create_task(self._run(method, args)))

    async def share(self, value: object) -> object:
        return value

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        return [await getattr(self.replica, method)()] if self.replica else []

    async def _run(self, method: str, args: tuple[object, ...]) -> Any:
        given = [await argument if isinstance(argument, LocalCall) else argument for argument in args]
        if self.errors[method]:
            raise self.errors[method].pop(0)
        answer = await getattr(self.replica, method)(*pickle.loads(pickle.dumps(given)))
        return pickle.loads(pickle.dumps(answer))


class CountingEncoder:
    """Another encoder that remembers its batches, and can be slow."""

    def __init__(self, encoder: EncoderBackend, gate: "Gate") -> None:
        self.architecture = encoder.architecture
        self.runtime = encoder.runtime
        self.batches: list[int] = []
        self._encoder = encoder
        self._gate = gate

    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        self._gate.wait()
        return self._encoder.encode(images, sizes)


class Gate:
    """Holds encoders back while it is shut."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def wait(self) -> None:
        assert self._open.wait(20), "nobody opened the gate"


class LocalGraph:
    """A service over the three deployments in this process, on a random-weight SAM.

    Args:
        settings: by name, over the defaults.
        report: told of everything that happens.
        open_store: as the encoder's.
    """

    def __init__(
        self,
        sam: Sam | None = None,
        settings: Mapping[str, Any] | None = None,
        emit: EmitEvent = discard,
        open_store: Callable[[EmitEvent], EmbeddingStore | None] = lambda emit: None,
    ) -> None:
        self.sam = sam or localised_sam()
        self.settings = Settings(**{"model_type": "tiny", "threads": 1, **(settings or {})})
        self.gate = Gate()
        self.backend = CountingEncoder(SamEncoder(self.sam, TINY), self.gate)
        decoder = SamDecoder(self.sam, TINY)
        self.new_decoder = lambda: PromptDecoder(
            lambda: decoder, device="cpu", max_batch=64, open_ray_metrics=lambda: emit
        )
        self.encoder = LocalPeer(
            "ImageEncoder",
            ImageEncoder(
                lambda: self.backend,
                device="cpu",
                max_batch=self.settings.encoder_batch,
                cache_mb=self.settings.embedding_cache_mb,
                candidates_mb=self.settings.candidate_cache_mb,
                open_store=open_store,
                open_ray_metrics=lambda: emit,
            ),
        )
        self.decoder = LocalPeer("PromptDecoder", self.new_decoder())
        self.grid = LocalPeer(
            "MaskGridGenerator", MaskGridGenerator(lambda: decoder, device="cpu", open_ray_metrics=lambda: emit)
        )
        sources = {field.name: "default" for field in fields(Settings)}
        config = ServiceConfig(self.settings, sources, PLAN, size_graph(self.settings, Cluster(2, 0, 2)))
        self.analyzer = LocalPeer("MaskAnalyzer", MaskAnalyzer(open_ray_metrics=lambda: emit))
        self.service = Service(config, self.encoder, self.decoder, self.grid, self.analyzer, emit)
