"""An ONNX server neither installs nor imports torch."""

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_pair import MANIFEST, convert, save_checkpoint

from segmentation.weights.manifest import PROJECT_ROOT

TORCH_SIDE = ("torch", "torchvision", "segment_anything", "onnx")

SERVER = """
import sys

class Hidden:
    # A finder without the modules of the torch side.
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {modules}
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Hidden, sys.meta_path)

import numpy as np
import deployments.app
from segmentation.automatic.generate import AutomaticParameters, generate
from segmentation.backends.opening import open_decoder, open_encoder
from deployments.preflight import check
from segmentation.predict import segment
from segmentation.types import Prompt

variables = {{"SAM_MODEL_TYPE": "tiny", "SAM_MODEL_DIR": {folder!r}, "SAM_ONNX_DIR": {folder!r}, "SAM_BACKEND": "onnx"}}
_, plan = check(variables)
encoder, decoder = (open(plan, device="cpu", threads=1) for open in (open_encoder, open_decoder))
picture = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
side = plan.spec.architecture.image_size
padded = np.zeros((1, side, side, 3), np.uint8)
padded[0, :96, :128] = picture
embedding = encoder.encode(padded, np.array([[96, 128]]))[0]
masks = segment(decoder, decoder.prepare(embedding), (96, 128), [Prompt(np.array([[5, 5]], np.float32), np.array([1]))])
generate(encoder, decoder, picture, AutomaticParameters(points_per_side=2))
assert not {modules} & set(sys.modules), {modules} & set(sys.modules)
print(plan.backend, plan.pytorch_available, len(masks[0]))
"""


def test_the_server_runs_where_torch_is_not_installed(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(MANIFEST)
    convert(save_checkpoint(tmp_path / "tiny.pth"), tmp_path)
    program = SERVER.format(modules=set(TORCH_SIDE), folder=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["onnx", "False", "3"]


@pytest.mark.parametrize("extras", ["cpu", "gpu"])
def test_its_requirements_name_no_torch(extras: str) -> None:
    assert not installed_by(extras) & {name.replace("_", "-") for name in TORCH_SIDE}
    assert {name.replace("_", "-") for name in TORCH_SIDE} <= installed_by(f"{extras}-pytorch")


def test_no_requirements_bring_both_onnx_runtimes() -> None:
    for path in (PROJECT_ROOT / "requirements").glob("*.txt"):
        assert len(installed_by(path.stem) & {"onnxruntime", "onnxruntime-gpu"}) <= 1


def installed_by(combination: str) -> set[str]:
    """Names of the distributions of a requirements file."""
    lines = (PROJECT_ROOT / "requirements" / f"{combination}.txt").read_text(encoding="utf-8").splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line and not line.startswith((" ", "#"))}
