"""The HTTP app on a real socket, over a SAM with random weights."""

from collections.abc import Iterator

import pytest
from http_server import listening
from local_graph import LocalGraph

from deployments.http.routes import create_app


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(create_app(LocalGraph().service)) as url:
        yield url
