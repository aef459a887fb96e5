"""Clicks go on beside a prompt of so many points that it takes as long as dozens of them."""

import asyncio
import os
import threading
from typing import Any

import numpy as np
import pytest
from localised import localised_sam
from oracle import TINY
from sam_backend import SamDecoder

from deployments.calls.messages import EncodedImage, PromptAnswer, PromptJob
from deployments.replicas.prompt_decoder import PromptDecoder
from segmentation.backends.protocol import PreparedImage
from segmentation.types import DecodedMasks, Prompt, PromptTokens

pytestmark = pytest.mark.anyio

ENCODED = EncodedImage("a", np.zeros(TINY.embedding_shape, np.float32), (60, 120))


class Held(SamDecoder):
    """Decodes prompts of many points only when it is let."""

    def __init__(self) -> None:
        super().__init__(localised_sam(), TINY)
        self.let = threading.Event()
        self.niceness: dict[bool, int] = {}

    def decode(self, image: PreparedImage, tokens: PromptTokens, **options: Any) -> DecodedMasks:
        is_costly = tokens.coords.shape[1] > 100
        self.niceness[is_costly] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if is_costly:
            assert self.let.wait(30)
        return super().decode(image, tokens, **options)


def job(points: int) -> PromptJob:
    coords = np.random.default_rng(0).uniform(0, 60, (points, 2)).astype(np.float32)
    return PromptJob((Prompt(coords, np.ones(points, np.int64)),))


async def test_a_click_does_not_wait_for_a_prompt_of_many_points() -> None:
    backend = Held()
    decoder = PromptDecoder(lambda: backend, device="cpu", max_batch=24)
    costly = asyncio.create_task(decoder.decode(ENCODED, job(1000)))
    click = await asyncio.wait_for(decoder.decode(ENCODED, job(1)), 30)
    assert isinstance(click, PromptAnswer)
    assert not costly.done()
    backend.let.set()
    answer = await costly
    assert isinstance(answer, PromptAnswer)
    assert len(answer.results[0]) == 3
    assert backend.niceness[True] == min(backend.niceness[False] + 4, 19)
    decoder.check_health()
