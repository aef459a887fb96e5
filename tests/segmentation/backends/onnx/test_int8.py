"""The int8 encoder: how far from the reference, and whether pictures leave each other alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_pair
import torch
from cpu_units import needs_int8
from numpy.typing import NDArray
from oracle import TINY, random_sam

from conversion.pair import Source, write_pair
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import ModelSpec

pytestmark = needs_int8
SIDE = TINY.image_size


@pytest.fixture(scope="module")
def encoder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    record = {
        "quality_embedding_error": "0", "quality_mask_iou": "1", "quality_masks": "1", "quality_pictures": "none",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("int8")
    pair = tiny_pair.convert(checkpoint, folder, check=lambda *files: record, precision="int8")
    return OnnxEncoder(pair.encoder, TINY, threads=2, precision="int8")


def noise(low: int, high: int, seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, (side, side, 3), dtype=np.uint8)


def test_a_picture_is_the_same_alone_and_beside_one_of_high_contrast(encoder: OnnxEncoder) -> None:
    faint, harsh = noise(120, 130, 0), 255 * noise(0, 2, 1)
    sizes = np.array([[SIDE, SIDE - 20], [SIDE, SIDE]])
    alone = encoder.encode(faint[None], sizes[:1])[0]
    np.testing.assert_array_equal(encoder.encode(np.stack([faint, harsh]), sizes)[0], alone)
    np.testing.assert_array_equal(encoder.encode(np.stack([harsh, faint]), sizes[::-1].copy())[1], alone)


@pytest.mark.parametrize(
    "architecture",
    [TINY, replace(TINY, window_size=4), replace(TINY, image_size=16 * 40, depth=2, global_attn_indexes=(0,))],
    ids=["padded windows", "windows that fit", "several chunks of queries"],
)
def test_int8_is_near_the_reference(architecture: Architecture, tmp_path: Path) -> None:
    sam = random_sam(architecture, seed=3)
    spec = ModelSpec(name="shape", architecture=architecture, file="shape.pth")
    source = Source(sam.state_dict(), "0")
    path, _ = write_pair(spec, source, tmp_path, lambda *files: None, precision="int8")
    picture = noise(0, 256, 4, architecture.image_size)
    size = np.array([[architecture.image_size, architecture.image_size - 30]])
    ours = OnnxEncoder(path, architecture, threads=2).encode(picture[None], size)[0]
    with torch.inference_mode():
        pixels = torch.from_numpy(picture[:, :-30].copy()).permute(2, 0, 1)[None].float()
        exact = sam.image_encoder(sam.preprocess(pixels)).numpy()[0]
    error = np.abs(ours - exact).max() / np.abs(exact).max()
    assert 1e-4 < error <= 0.03


def test_int8_weights_take_a_fourth_of_the_file(checkpoint: Path, encoder: OnnxEncoder, tmp_path: Path) -> None:
    spec = ModelSpec(name="wide", architecture=replace(TINY, embed_dim=256), file="wide.pth")
    source = Source(random_sam(spec.architecture).state_dict(), "0")
    sizes = [
        write_pair(spec, source, tmp_path, lambda *files: None, precision=precision)[0].stat().st_size
        for precision in ("fp32", "int8")
    ]
    assert sizes[1] < 0.5 * sizes[0]
