"""What all tests share: one real server for those that only need one, and the order in which they get it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import Collector, collecting
from real_server import RealServer, serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that kill the shared server's processes run last."""
    items.sort(key=lambda item: "chaos" in item.path.parts)


@pytest.fixture(scope="session")
def ray_folder() -> Iterator[Path]:
    """Ray's folder for the shared server. Short, because the paths of Ray's sockets may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="sam"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # Ray's last processes may still write into it


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """The OpenTelemetry collector of the shared server."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def demo_server(
    ray_folder: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealServer]:
    """The demo model on a real server, for every test that only needs one.

    Its cache holds one picture and its store all others, so that evictions and the store are seen in the metrics.
    """
    variables = {
        "SAM_MODEL_TYPE": "demo",
        "SAM_GRID_REPLICAS": "2",
        "SAM_EMBEDDING_CACHE_MB": "1.5",
        "SAM_EMBEDDING_STORE": str(ray_folder / "store"),
        "SAM_OTLP_ENDPOINT": collector.url,
        "RAY_TMPDIR": str(ray_folder),
    }
    with serving(tmp_path_factory.mktemp("demo"), variables) as server:
        yield server
