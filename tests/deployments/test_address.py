"""A port that is taken is told in a line, before anything is started."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.address import taken_address
from segmentation.weights.manifest import PROJECT_ROOT


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def config(folder: Path, http_options: str) -> Path:
    path = folder / "serve.yaml"
    path.write_text(f"http_options: {http_options}\napplications: []\n")
    return path


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_another_listens_on_is_taken(listener: socket.socket, tmp_path: Path, host: str) -> None:
    port = port_of(listener)
    path = config(tmp_path, f"{{host: {host}, port: {port}}}")
    assert taken_address(["--address", "local", str(path)]) == f"{host}:{port}"
    listener.close()
    assert taken_address(["--address", "local", str(path)]) is None


def test_a_cluster_that_already_runs_has_the_port_itself(listener: socket.socket, tmp_path: Path) -> None:
    path = config(tmp_path, f"{{port: {port_of(listener)}}}")
    assert taken_address(["--address", "auto", str(path)]) is None


@pytest.mark.parametrize(
    "http_options", ["{port: many}", "[", "7", "{host: nowhere.invalid, port: 1}", "{port: 700000}"]
)
def test_what_serve_has_to_say_is_left_to_it(http_options: str, tmp_path: Path) -> None:
    assert taken_address(["--address", "local", str(config(tmp_path, http_options))]) is None
    assert taken_address(["--address", "local", str(tmp_path / "missing.yaml")]) is None
    assert taken_address(["--address", "local", "deployments.app:build"]) is None


def test_the_server_does_not_start_on_it(listener: socket.socket, tmp_path: Path) -> None:
    path = config(tmp_path, f"{{port: {port_of(listener)}}}")
    command = [sys.executable, "-m", "deployments.run", "--address", "local", str(path)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"127.0.0.1:{port_of(listener)} is taken: ")
    assert "Traceback" not in done.stderr
