"""The examples run as their users run them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_server import listening
from local_graph import LocalGraph

from deployments.routes import create_app
from segmentation.api_keys import parse_api_keys
from segmentation.models import PROJECT_ROOT

KEY = "a-key-of-enough-characters"
CHEAP = {
    "points_per_side": 2, "crop_n_layers": 0, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with listening(create_app(LocalGraph(settings={"api_keys": parse_api_keys(f"alice:{KEY}")}).service)) as url:
        yield url


def run(url: str, folder: Path, key: str) -> "subprocess.CompletedProcess[str]":
    picture = PROJECT_ROOT / "docs" / "images" / "coins.png"
    script = PROJECT_ROOT / "examples" / "segment_everything.py"
    command = [sys.executable, str(script), str(picture), "--server", url, "--parameters", json.dumps(CHEAP)]
    environment = {**os.environ, "SAM_API_KEY": key}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_everything_is_segmented_drawn_and_listed(guarded: str, tmp_path: Path) -> None:
    done = run(guarded, tmp_path, KEY)
    assert done.returncode == 0, done.stderr
    count = int(done.stdout.split()[0])
    assert count > 0
    assert len((tmp_path / "masks.csv").read_text().splitlines()) == count + 1
    assert (tmp_path / "masks.png").stat().st_size > 10_000


def test_without_its_key_it_says_so(guarded: str, tmp_path: Path) -> None:
    done = run(guarded, tmp_path, "")
    assert done.returncode == 1
    assert done.stderr.startswith("401: this server needs an API key")
