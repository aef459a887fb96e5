"""The encoder for GPUs is held to `segment_anything`: on a GPU if there is one, else by triton's interpreter."""

import json
import os
import subprocess
import sys
from typing import Any

import fused_vit_errors
import pytest
import torch
from oracle import random_sam

from segmentation.backends.pytorch.fused_vit import FusedViT
from segmentation.weights.architecture import VitArchitecture
from segmentation.weights.manifest import load_manifest

ON_GPU = torch.cuda.is_available()


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    interpreted = {} if ON_GPU else {"TRITON_INTERPRET": "1"}
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, fused_vit_errors.__file__]
    done = subprocess.run(command, env={**os.environ, **paths, **interpreted}, check=True, stdout=subprocess.PIPE)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


@pytest.mark.slow  # triton's interpreter takes minutes
@pytest.mark.parametrize(
    ("precision", "bound"),
    [
        ("fp16", 2e-3),
        pytest.param("bf16", 2e-2, marks=pytest.mark.skipif(not ON_GPU, reason="triton's interpreter has no bf16")),
    ],
)
@pytest.mark.parametrize("architecture", fused_vit_errors.ARCHITECTURES)
def test_embeddings_are_those_of_segment_anything(
    architecture: str, precision: str, bound: float, measured: dict[str, Any]
) -> None:
    assert measured["errors"][f"{architecture} {precision}"] < bound


@pytest.mark.slow
def test_kernels_that_compute_wrong_are_noticed(measured: dict[str, Any]) -> None:
    sound, broken = measured["faults"]
    assert sound is None
    assert "differ from PyTorch" in broken


class OutOfResources(Exception):
    """As `triton.runtime.errors.OutOfResources`, which derives from nothing narrower."""


class TooLarge(FusedViT):
    """Kernels that need more shared memory than the GPU has."""

    def _blocks(self, tokens: torch.Tensor) -> None:
        raise OutOfResources("shared memory")


def test_an_error_of_tritons_own_says_that_the_kernels_can_not_be_used() -> None:
    architecture = fused_vit_errors.ARCHITECTURES["whole"]
    fault = TooLarge(random_sam(architecture).image_encoder, architecture).fault()
    assert fault == "they can't be compiled or run: OutOfResources: shared memory"


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h", "demo", "vit_b_lm"])
def test_the_models_of_sam_fit(name: str) -> None:
    architecture = load_manifest()[name].architecture
    assert isinstance(architecture, VitArchitecture)
    assert FusedViT.fits(architecture)


@pytest.mark.parametrize(
    "architecture",
    [
        VitArchitecture(256, embed_dim=48, depth=1, num_heads=4, global_attn_indexes=()),
        VitArchitecture(256, embed_dim=176, depth=1, num_heads=2, global_attn_indexes=()),
        VitArchitecture(192, embed_dim=64, depth=1, num_heads=1, global_attn_indexes=()),
        VitArchitecture(512, embed_dim=64, depth=1, num_heads=1, global_attn_indexes=(), window_size=17),
    ],
    ids=["heads_of_12", "heads_of_88", "12_patches_a_side", "windows_of_17"],
)
def test_what_the_kernels_do_not_take_does_not_fit(architecture: VitArchitecture) -> None:
    assert not FusedViT.fits(architecture)
