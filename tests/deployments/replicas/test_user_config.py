"""`user_config`: limits that change while a replica runs, and a clear line for what is no limit."""

import asyncio
from typing import Any

import numpy as np
import pytest
from local_graph import LocalGraph
from oracle import TINY
from segment_anything.modeling import Sam
from waiting import until

from deployments.calls.messages import EncodedImage, InputPicture, PromptJob
from deployments.telemetry.events import BatchReport, Event
from segmentation.errors import ConfigurationError
from segmentation.types import Prompt

pytestmark = pytest.mark.anyio


def picture(index: int) -> InputPicture:
    return InputPicture(np.full((64, 128, 3), index, np.uint8), (60, 120))


async def test_the_encoders_batches_grow_and_its_cache_shrinks_while_it_runs(sam: Sam) -> None:
    graph = LocalGraph(sam)
    encoder: Any = graph.encoder.replica
    for largest in (2, 5):
        encoder.reconfigure({"max_batch": largest})
        graph.gate.shut()
        before = len(graph.backend.batches)
        calls = [asyncio.create_task(encoder.embed(f"{largest}-{index}", picture(index))) for index in range(10)]
        await until(lambda before=before: len(graph.backend.batches) > before)
        graph.gate.open()
        await asyncio.gather(*calls)
        assert max(graph.backend.batches[before:]) == largest
    assert (await encoder.record("5-9")).size == (60, 120)
    encoder.reconfigure({"cache_mb": 0.000001})
    assert (await encoder.record("5-9")).code == "unknown_image"


async def test_the_decoders_limits_change_while_it_runs(sam: Sam) -> None:
    events: list[Event] = []
    decoder: Any = LocalGraph(sam, emit=events.append).decoder.replica
    decoder.reconfigure({"max_batch": 3, "cache_mb": 0.000001})
    encoded = EncodedImage("a", np.zeros(TINY.embedding_shape, np.float32), (60, 120))
    job = PromptJob((Prompt(np.array([[9, 9]], np.float32), np.array([1])),))
    await asyncio.gather(*(decoder.decode(encoded, job) for _ in range(7)))
    assert max(event.weight for event in events if isinstance(event, BatchReport)) == 3


@pytest.mark.parametrize("deployment", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"max_bach": 3}, "unknown 'max_bach' in user_config; known are cache_mb, max_batch"),
        ({"max_batch": 0.5}, "max_batch in user_config is 0.5; say a whole number"),
        ({"max_batch": 0}, "max_batch in user_config is 0; say a positive number"),
        ({"cache_mb": "many"}, "cache_mb in user_config is 'many'; say a positive number"),
        ({"cache_mb": True}, "cache_mb in user_config is True"),
        ({"cache_mb": float("nan")}, "cache_mb in user_config is nan"),
    ],
)
async def test_what_is_no_limit_is_refused_in_one_line(
    sam: Sam, deployment: str, given: dict[str, Any], says: str
) -> None:
    replica: Any = getattr(LocalGraph(sam), deployment).replica
    with pytest.raises(ConfigurationError, match=says):
        replica.reconfigure(given)
