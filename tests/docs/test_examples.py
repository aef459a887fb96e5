"""The examples run as their users run them."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from http_server import listening
from local_graph import LocalGraph

from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys
from segmentation.weights.manifest import PROJECT_ROOT

KEY = "a-key-of-enough-characters"


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with listening(create_app(LocalGraph(settings={"api_keys": parse_api_keys(f"alice:{KEY}")}).service)) as url:
        yield url


def run(url: str, key: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "examples.segment_everything", "docs/images/coins.png"]
    environment = {**os.environ, "SAM_SERVER": url, "SAM_API_KEY": key}
    return subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_everything_is_listed_largest_first(guarded: str) -> None:
    done = run(guarded, KEY)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert all(len(row) == 6 for row in rows)
    areas = [int(row[0]) for row in rows]
    assert areas == sorted(areas, reverse=True)


def test_without_its_key_it_says_so(guarded: str) -> None:
    done = run(guarded, "")
    assert done.returncode == 1
    assert "this server needs an API key" in done.stderr
