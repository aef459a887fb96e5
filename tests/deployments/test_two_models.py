"""Two models on one server: the second starts, answers as alone and goes away again while the first is used."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from meanwhile import meanwhile
from numpy.typing import NDArray
from real_server import RealServer, serving

from segmentation.masks.rle import decode
from segmentation.types import Rle
from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

PICTURE = PROJECT_ROOT / "docs" / "images" / "coins.png"
PROMPTS = {"prompts": [{"points": [[140, 52]]}, {"box": [20, 20, 100, 100]}]}
PARTS = ("ImageEncoder-twin", "PromptDecoder-twin", "MaskGridGenerator-twin")
IDLE_S = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """`demo`, and on PyTorch `twin`: the same weights under another name."""
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(PROJECT_ROOT / "model" / "sam_demo.pth", models / "twin.pth")
    shutil.copy(PROJECT_ROOT / "model" / "sam_demo.pth", models)
    (models / "manifest.toml").write_text('[models.twin]\nfile = "twin.pth"\nlicence = "Apache-2.0"\n')
    variables = {"SAM_MODELS": "demo,twin", "SAM_MODEL_DIR": str(models), "SAM_MODEL_IDLE_S": str(IDLE_S)}
    with serving(tmp_path, variables) as server:
        yield server


def masks(server: RealServer, model: str) -> list[NDArray[np.bool_]]:
    with server.client() as client:
        files = {"image": PICTURE.read_bytes()}
        answer = client.post("/segment", files=files, data={"request": json.dumps({**PROMPTS, "model": model})})
    assert answer.status_code == 200, answer.text
    found = [mask["segmentation"] for one in answer.json()["results"] for mask in one["masks"]]
    return [decode(Rle(tuple(rle["size"]), rle["counts"])) for rle in found]


def ready(server: RealServer) -> dict[str, bool]:
    with server.client() as client:
        return {model["name"]: model["ready"] for model in client.get("/models").json()["models"]}


@contextmanager
def clicks(server: RealServer) -> Iterator[list[int]]:
    """Clicks on the default model, one after the other, until the end: their status codes."""
    codes: list[int] = []

    def click(ended: threading.Event) -> None:
        with server.client() as client:
            files = {"image": PICTURE.read_bytes()}
            image_id = client.post("/embeddings", files=files).json()["image_id"]
            while not ended.is_set():
                codes.append(client.post("/segment", json={"image_id": image_id, **PROMPTS}).status_code)

    with meanwhile(click):
        yield codes


def test_a_model_that_is_asked_for_starts_answers_and_gives_its_memory_back(server: RealServer) -> None:
    with clicks(server) as codes:
        assert ready(server) == {"demo": True, "twin": False}
        assert not [pid for part in PARTS for pid in server.replicas(part)]
        alone, others = masks(server, "demo"), masks(server, "twin")
        assert ready(server) == {"demo": True, "twin": True}
        assert server.replicas("ImageEncoder-twin")
        deadline = time.monotonic() + 240
        while [pid for part in PARTS for pid in server.replicas(part)]:
            assert time.monotonic() < deadline, "the idle model keeps its replicas"
            time.sleep(1)
        assert ready(server) == {"demo": True, "twin": False}
    assert len(codes) > 100
    assert set(codes) == {200}
    for one, other in zip(alone, others, strict=True):
        # The same weights on two runtimes: a pixel on a mask's edge may fall to either side.
        assert np.count_nonzero(one != other) <= 0.002 * one.sum()
