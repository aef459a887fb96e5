"""The HTTP app over the graph in this process, on a SAM with random weights."""

import io
from collections.abc import Iterator

import numpy as np
import pytest
import skimage.data
from local_graph import LocalGraph
from localised import localised_sam
from PIL import Image
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.routes import create_app


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def sam() -> Sam:
    return localised_sam()


@pytest.fixture(scope="session")
def png() -> bytes:
    """A photograph, 120 pixels high and 200 wide."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(skimage.data.astronaut()[:120, 100:300])).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def graph(sam: Sam) -> LocalGraph:
    return LocalGraph(sam)


@pytest.fixture
def client(graph: LocalGraph) -> Iterator[TestClient]:
    with TestClient(create_app(graph.service), raise_server_exceptions=False) as client:
        yield client
