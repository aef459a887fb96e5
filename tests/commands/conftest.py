"""The demo model for commands that run it here, and a server with random weights for those that ask one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from http_server import listening
from local_graph import LocalGraph
from PIL import Image

from deployments.http.routes import create_app


@pytest.fixture(autouse=True)
def _demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM_MODEL_TYPE", "demo")
    for name in ("SAM_SERVER", "SAM_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with listening(create_app(LocalGraph().service)) as url:
        yield url


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four discs on grey, 160 pixels a side; centres at 40 and 120."""
    rows, columns = np.mgrid[:160, :160]
    pixels = np.full((160, 160), 60, np.uint8)
    for x in (40, 120):
        for y in (40, 120):
            pixels[(columns - x) ** 2 + (rows - y) ** 2 <= 20**2] = 200
    path = tmp_path_factory.mktemp("pictures") / "discs.png"
    Image.fromarray(pixels).save(path)
    return path
