"""The examples run as their users run them."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from http_server import listening
from local_graph import LocalGraph
from PIL import Image

from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys
from segmentation.masks import rle
from segmentation.masks.polygon import trace_polygons
from segmentation.weights.manifest import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "examples" / "segment_everything.py"
KEY = "a-key-of-enough-characters"
CHEAP = {
    "points_per_side": 2, "crop_n_layers": 0, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1,
}  # fmt: skip


_spec = importlib.util.spec_from_file_location("segment_everything", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
example = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(example)


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with listening(create_app(LocalGraph(settings={"api_keys": parse_api_keys(f"alice:{KEY}")}).service)) as url:
        yield url


def run(url: str, folder: Path, key: str) -> "subprocess.CompletedProcess[str]":
    picture = PROJECT_ROOT / "docs" / "images" / "coins.png"
    command = [sys.executable, str(SCRIPT), str(picture), "--server", url, "--parameters", json.dumps(CHEAP)]
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


def test_centroids_are_the_means_of_the_pixels() -> None:
    mask = np.random.default_rng(0).random((9, 14)) > 0.4  # several outlines, and holes
    y, x = np.nonzero(mask)
    assert example.centroid(trace_polygons(rle.encode(mask))) == pytest.approx((x.mean() + 0.5, y.mean() + 0.5))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_a_page_of_a_stack_is_drawn_with_all_its_levels(dtype: type[np.generic], tmp_path: Path) -> None:
    ramp = np.arange(1000, 1256).reshape(16, 16).astype(dtype)
    first, second = Image.fromarray(ramp), Image.fromarray(ramp[::-1].copy())
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[second])
    for page, expected in enumerate([ramp, ramp[::-1]]):
        shown = np.asarray(example.opened(tmp_path / "stack.tif", page))
        assert shown.shape == (16, 16, 3)
        assert np.abs(shown[..., 0].astype(float) - (expected.astype(float) - 1000)).max() <= 1


@pytest.mark.parametrize(
    ("picture", "parameters", "message"),
    [
        ("nowhere.png", "{}", "No such file or directory: 'nowhere.png'"),
        ("nowhere.png", "{bad", "not JSON"),
        ("nowhere.png", '{"stream": true}', "are set already"),
    ],
)
def test_what_can_not_be_is_said_in_a_line(picture: str, parameters: str, message: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), picture, "--parameters", parameters]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
