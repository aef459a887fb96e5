"""Grid replicas give way: their work has a lower priority at the operating system, their event loop has not."""

import os
from typing import Any

import numpy as np
import pytest
from localised import localised_sam
from oracle import TINY
from sam_backend import SamDecoder

from deployments.calls.messages import EncodedImage, GridShard
from deployments.replicas.mask_grid import MaskGridGenerator
from segmentation.automatic.generate import AutomaticParameters, plan_crops
from segmentation.backends.protocol import PreparedImage
from segmentation.types import DecodedMasks, PromptTokens
from segmentation.workers import Workers

pytestmark = pytest.mark.anyio


def policy() -> int:
    """How the operating system schedules this thread."""
    return os.sched_getscheduler(0)


class Watched(SamDecoder):
    """Remembers the policy of the thread that opens it, those that decode, and its workers."""

    def __init__(self) -> None:
        super().__init__(localised_sam(), TINY)
        self.policies = {"open": policy()}

    def decode(self, image: PreparedImage, tokens: PromptTokens, **options: Any) -> DecodedMasks:
        self.policies["decode"] = policy()
        self.policies["worker"] = min(Workers(2).map(lambda _: policy(), range(2)))
        return super().decode(image, tokens, **options)


async def test_decoding_gives_way_and_answering_does_not() -> None:
    before = policy()
    opened: list[Watched] = []

    def open_backend() -> Watched:
        opened.append(Watched())
        return opened[0]

    grid = MaskGridGenerator(open_backend, device="cpu", gives_way=True)
    parameters = AutomaticParameters(points_per_side=2, pred_iou_thresh=0, stability_score_thresh=0)
    (crop,) = plan_crops((60, 120), parameters)
    encoded = EncodedImage("a", np.zeros(TINY.embedding_shape, np.float32), (60, 120))
    await grid.decode(encoded, GridShard(crop.box, (60, 120), crop.points, parameters.decoding))
    idle = os.SCHED_IDLE
    assert opened[0].policies == {"open": idle, "decode": idle, "worker": idle}
    assert grid._merging.submit(policy).result() == idle
    assert policy() == before != idle
