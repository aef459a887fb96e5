"""The HTTP app on a real socket, over a SAM with random weights; and one that asks for a key."""

from collections.abc import Iterator

import pytest
from http_server import listening
from local_graph import LocalGraph

from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys

KEY = "a-key-of-enough-characters"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with listening(create_app(LocalGraph().service)) as url:
        yield url


@pytest.fixture(scope="session")
def guarded() -> Iterator[str]:
    with listening(create_app(LocalGraph(settings={"api_keys": parse_api_keys(f"alice:{KEY}")}).service)) as url:
        yield url
