"""The examples run as their users run them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import listening
from local_graph import LocalGraph
from numpy.typing import NDArray
from pictures import scene, tiff_of

from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys
from segmentation.weights.manifest import PROJECT_ROOT

KEY = "a-key-of-enough-characters"


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with listening(create_app(LocalGraph(settings={"api_keys": parse_api_keys(f"alice:{KEY}")}).service)) as url:
        yield url


def run(url: str, key: str, picture: object = "docs/images/coins.png") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "examples.segment_everything", str(picture)]
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


@pytest.mark.parametrize("values", [scene(5, np.uint16), scene(1).astype(np.float32), scene(4)])
def test_tiffs_of_many_kinds_are_listed(guarded: str, tmp_path: Path, values: NDArray[Any]) -> None:
    (tmp_path / "a.tif").write_bytes(tiff_of(values, photometric="minisblack"))
    done = run(guarded, KEY, tmp_path / "a.tif")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_its_key_it_says_so(guarded: str) -> None:
    done = run(guarded, "")
    assert done.returncode == 1
    assert "this server needs an API key" in done.stderr
