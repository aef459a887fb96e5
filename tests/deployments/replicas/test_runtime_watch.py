"""Health checks: what is stuck or broken is replaced; what is slow, or was asked something bad, is not."""

import asyncio
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from local_graph import CountingEncoder, Gate
from localised import localised_sam
from numpy.typing import NDArray
from oracle import TINY
from sam_backend import SamDecoder, SamEncoder

from deployments.calls.messages import EncodedImage, GridShard, InputPicture, PromptJob
from deployments.replicas.image_encoder import ImageEncoder
from deployments.replicas.mask_grid import MaskGridGenerator
from deployments.replicas.prompt_decoder import PromptDecoder
from deployments.replicas.runtime_watch import FAILURES, FIRST_FACTOR, STUCK_FACTOR, RuntimeWatch, Unhealthy
from segmentation.automatic.generate import AutomaticParameters, plan_crops
from segmentation.backends.protocol import PreparedImage
from segmentation.errors import NumericalError
from segmentation.types import DecodedMasks, Prompt, PromptTokens
from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = pytest.mark.anyio

STUCK_AFTER_S = 100.0


class Runtime:
    """A clock that runs take time of, and a runtime that can break."""

    def __init__(self) -> None:
        self.now = 0.0
        self.broken = False
        self.watch = RuntimeWatch(self.probe, stuck_after_s=STUCK_AFTER_S, clock=lambda: self.now)

    def probe(self) -> None:
        if self.broken:
            raise NumericalError("not finite")

    def run(self, seconds: float = 1.0, weight: int = 1, bad_input: bool = False) -> None:
        with self.watch.run(weight):
            self.now += seconds
            if self.broken or bad_input:
                raise NumericalError("not finite")

    def fail(self, times: int, bad_input: bool = False) -> None:
        for _ in range(times):
            with pytest.raises(NumericalError):
                self.run(bad_input=bad_input)


def busy_for(runtime: Runtime, seconds: float, weight: int = 1) -> None:
    """A check in the middle of a run."""
    with runtime.watch.run(weight):
        runtime.now += seconds
        runtime.watch.check()
        runtime.now -= seconds


def test_an_idle_and_a_working_runtime_are_well() -> None:
    runtime = Runtime()
    runtime.watch.check()
    runtime.run(1.0)
    runtime.now += 1_000_000
    runtime.watch.check()
    busy_for(runtime, STUCK_AFTER_S - 1)


def test_a_run_without_end_is_noticed() -> None:
    runtime = Runtime()
    runtime.run(1.0)
    with pytest.raises(Unhealthy, match="busy with one run for 101 s, more than 100 s"):
        busy_for(runtime, STUCK_AFTER_S + 1)


def test_the_first_run_has_more_patience_but_not_forever() -> None:
    runtime = Runtime()
    busy_for(runtime, FIRST_FACTOR * STUCK_AFTER_S - 1)
    runtime = Runtime()
    with pytest.raises(Unhealthy):
        busy_for(runtime, FIRST_FACTOR * STUCK_AFTER_S + 1)


def test_a_slow_runtime_is_not_called_stuck() -> None:
    runtime = Runtime()
    runtime.run(80.0, weight=2)
    busy_for(runtime, STUCK_FACTOR * 40 * 4 - 1, weight=4)
    with pytest.raises(Unhealthy):
        busy_for(runtime, STUCK_FACTOR * 40 * 4 + 1, weight=4)


def test_a_runtime_that_fails_on_everything_is_broken_until_it_works_again() -> None:
    runtime = Runtime()
    runtime.broken = True
    runtime.fail(FAILURES - 1)
    runtime.watch.check()
    runtime.fail(1)
    with pytest.raises(Unhealthy, match=f"failed {FAILURES} times in a row"):
        runtime.watch.check()
    runtime.broken = False
    runtime.run()
    runtime.watch.check()


def test_callers_that_send_what_fails_do_not_bring_the_replica_down() -> None:
    runtime = Runtime()
    runtime.fail(4 * FAILURES, bad_input=True)
    runtime.watch.check()


def test_zero_turns_the_clock_off() -> None:
    watch = RuntimeWatch(lambda: None, stuck_after_s=0)
    with watch.run():
        watch.check()


class Broken:
    """Backends whose numbers are no numbers, and the same before they broke."""

    def __init__(self) -> None:
        sam = localised_sam()
        self.encoder, self.decoder = SamEncoder(sam, TINY), SamDecoder(sam, TINY)
        self.architecture, self.runtime, self.workers = TINY, self.encoder.runtime, self.decoder.workers
        self.broken = True

    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        self._check()
        return self.encoder.encode(images, sizes)

    def prepare(self, embedding: NDArray[np.float32]) -> PreparedImage:
        return self.decoder.prepare(embedding)

    def decode(self, image: PreparedImage, tokens: PromptTokens, **options: Any) -> DecodedMasks:
        self._check()
        return self.decoder.decode(image, tokens, **options)

    def _check(self) -> None:
        if self.broken:
            raise NumericalError("not finite")


PICTURE = InputPicture(np.zeros((64, 128, 3), np.uint8), (60, 120))
ENCODED = EncodedImage("a", np.zeros(TINY.embedding_shape, np.float32), (60, 120))
PARAMETERS = AutomaticParameters(points_per_side=2, pred_iou_thresh=0, stability_score_thresh=0)


def calls(kind: str, replica: Any) -> Any:
    if kind == "encoder":
        return replica.embed("a", PICTURE)
    if kind == "decoder":
        return replica.decode(ENCODED, PromptJob((Prompt(np.array([[9, 9]], np.float32), np.array([1])),)))
    (crop,) = plan_crops((60, 120), PARAMETERS)
    return replica.decode(ENCODED, GridShard(crop.box, (60, 120), crop.points, PARAMETERS.decoding))


def replica_of(kind: str, backend: Any) -> Any:
    if kind == "encoder":
        return ImageEncoder(lambda: backend, device="cpu", max_batch=4, cache_mb=1, stuck_after_s=300)
    if kind == "decoder":
        return PromptDecoder(lambda: backend, device="cpu", max_batch=64, stuck_after_s=300)
    return MaskGridGenerator(lambda: backend, device="cpu", stuck_after_s=300)


@pytest.mark.parametrize("kind", ["encoder", "decoder", "grid"])
async def test_each_replica_knows_that_its_runtime_broke_and_that_it_was_mended(kind: str) -> None:
    backend = Broken()
    replica = replica_of(kind, backend)
    for _ in range(FAILURES):
        replica.check_health()
        with pytest.raises(NumericalError):
            await calls(kind, replica)
    with pytest.raises(Unhealthy):
        replica.check_health()
    backend.broken = False
    await calls(kind, replica)
    replica.check_health()


async def test_a_replica_that_is_stuck_says_so_while_it_is() -> None:
    gate = Gate()
    backend = CountingEncoder(SamEncoder(localised_sam(), TINY), gate)
    replica = ImageEncoder(lambda: backend, device="cpu", max_batch=4, cache_mb=1, stuck_after_s=0.01)
    await replica.embed("a", PICTURE)
    gate.shut()
    stuck = asyncio.create_task(replica.embed("b", PICTURE))
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    replica.check_health()
                except Unhealthy:
                    break
                await asyncio.sleep(0.01)
    finally:
        gate.open()
        await stuck
    replica.check_health()


LIMITED = """
import resource
from deployments.replicas.runtime_watch import RuntimeWatch, Unhealthy

watch = RuntimeWatch(lambda: None, stuck_after_s=0)
watch.check()
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 20_000_000, resource.RLIM_INFINITY))
try:
    watch.check()
except Unhealthy as error:
    print(error)
"""


def test_a_process_that_gets_no_more_memory_must_be_replaced() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], check=True, capture_output=True, text=True, cwd=PROJECT_ROOT)
    assert done.stdout.startswith("this process can't get 64 MB more of memory")
