"""The graphs against `segment_anything` on architectures whose windows and chunks differ from the tiny one's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from oracle import TINY, random_sam

from conversion.encoder_graph import build_encoder
from conversion.graph import Graph
from conversion.initializers import Embedded
from conversion.pair import Source, write_pair
from conversion.verify import compare
from conversion.weights import Weights
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import ModelSpec, load_manifest

SHAPES = {
    "demo": load_manifest()["demo"].architecture,
    "vit_b": load_manifest()["vit_b"].architecture,
    "windows that fit": replace(TINY, window_size=4),
    "one window": replace(TINY, window_size=8),
    "a window larger than the picture": replace(TINY, window_size=11),
    "chunks that do not fit": replace(TINY, image_size=16 * 20, depth=2, global_attn_indexes=(0,)),
    "an odd number of tokens, in two parts": replace(TINY, image_size=16 * 35, depth=2, global_attn_indexes=(0,)),
    "small patches": replace(TINY, patch_size=8, image_size=64),
    "an odd number of heads": replace(TINY, embed_dim=30, num_heads=3),
    "other pixels": replace(TINY, pixel_mean=(1.0, 200.0, 3.0), pixel_std=(4.0, 50.0, 600.0)),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "vit_b" else []) for name in SHAPES]
)
def test_a_converted_model_computes_what_the_reference_does(name: str, tmp_path: Path) -> None:
    architecture: Architecture = SHAPES[name]
    sam = random_sam(architecture, seed=3)
    spec = ModelSpec(name="shape", architecture=architecture, file="shape.pth")
    encoder, decoder = write_pair(spec, Source(sam.state_dict(), "0"), tmp_path, lambda *files: None)
    findings = list(compare(encoder, decoder, sam, architecture, threads=2))
    assert len(findings) > 20
    assert {finding.what: finding.error for finding in findings if not finding.error <= 1e-5} == {}


@pytest.mark.parametrize("name", ["one window", "windows that fit", "an odd number of tokens, in two parts"])
def test_pictures_in_one_call_are_each_what_they_are_alone(name: str) -> None:
    architecture = SHAPES[name]
    graph = Graph("encoder", Embedded())
    build_encoder(graph, Weights(random_sam(architecture).state_dict()), architecture)
    session = onnxruntime.InferenceSession(graph.model().SerializeToString(), providers=["CPUExecutionProvider"])
    side = architecture.image_size
    images = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    sizes = np.array([[side, side], [side, side // 2], [1, side]])
    together = session.run(None, {"images": images, "sizes": sizes})[0]
    alone = [session.run(None, {"images": images[i : i + 1], "sizes": sizes[i : i + 1]})[0][0] for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-5 * np.abs(together).max())


@pytest.mark.parametrize("part", ["image_encoder.blocks.1.attn.rel_pos_h", "mask_decoder.iou_token.weight"])
def test_a_wrong_weight_is_noticed(part: str, tmp_path: Path) -> None:
    sam = random_sam(TINY)
    spec = ModelSpec(name="shape", architecture=TINY, file="shape.pth")
    state = {name: tensor.clone() for name, tensor in sam.state_dict().items()}
    state[part][0, 0] += 0.01
    encoder, decoder = write_pair(spec, Source(state, "0"), tmp_path, lambda *files: None)
    assert not all(finding.passed for finding in compare(encoder, decoder, sam, TINY, threads=2))
