"""How much is killed: a little in every run; `make soak` asks for more, through `benchmarks.load`."""

from collections.abc import Iterator

import pytest
from real_server import RealServer, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with serving(tmp_path_factory.mktemp("chaos"), {"SAM_MODEL_TYPE": "demo", "SAM_BACKEND": "onnx"}) as server:
        yield server
