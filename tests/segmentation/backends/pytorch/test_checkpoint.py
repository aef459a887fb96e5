"""What keeps a replica from loading a checkpoint is found before one starts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from oracle import TINY, random_sam

from segmentation.backends.pytorch.checkpoint import inspect_checkpoint
from segmentation.backends.select import plan_runtime
from segmentation.errors import ModelFileError
from segmentation.settings import RuntimeSettings
from segmentation.weights.architecture import VitArchitecture
from segmentation.weights.manifest import ModelEntry, ModelSpec

WIDE = replace(TINY, embed_dim=64, mlp_dim=96)
KNOWN = (ModelSpec("tiny", TINY, "tiny.pth"), ModelSpec("wide", WIDE, "wide.pth"))


def saved(folder: Path, architecture: VitArchitecture = TINY, **changes: torch.Tensor | None) -> Path:
    state = random_sam(architecture).state_dict()
    state = {name: changes.get(name.replace(".", "_"), value) for name, value in state.items()}
    torch.save({name: value for name, value in state.items() if value is not None}, folder / "x.pth")
    return folder / "x.pth"


def settings(folder: Path, manifest: str) -> RuntimeSettings:
    (folder / "manifest.toml").write_text(manifest)
    return RuntimeSettings(backend="pytorch", model_type="x", model_dir=folder, onnx_dir=folder / "onnx")


@pytest.mark.parametrize(
    "architecture",
    [
        TINY,
        WIDE,
        replace(TINY, image_size=64, window_size=4, global_attn_indexes=()),
        replace(TINY, depth=4, global_attn_indexes=(0, 3), num_heads=4),
    ],
)
def test_shapes_tell_the_architecture(tmp_path: Path, architecture: VitArchitecture) -> None:
    spec, notes = inspect_checkpoint(saved(tmp_path, architecture), ModelEntry("x", None, "x.pth"))
    found = spec.architecture
    assert isinstance(found, VitArchitecture)
    # Where every window is the whole picture, all blocks are alike.
    whole = architecture.window_size == architecture.embedding_side
    indexes = tuple(range(architecture.depth)) if whole else architecture.global_attn_indexes
    assert found == replace(architecture, global_attn_indexes=indexes)
    assert notes == ()


def test_weights_of_another_model_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, WIDE)
    with pytest.raises(ModelFileError, match="these are wide's shapes"):
        inspect_checkpoint(path, KNOWN[0], KNOWN)
    with pytest.raises(ModelFileError, match=r"shapes of another SAM \(width 64, 3 blocks, mlp_dim 96"):
        inspect_checkpoint(path, KNOWN[0])


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, mask_decoder_iou_token_weight=None)
    with pytest.raises(ModelFileError, match=r"1 missing \(mask_decoder\.iou_token\.weight"):
        inspect_checkpoint(path, KNOWN[0], KNOWN)


def test_a_plan_finds_what_a_replica_would(tmp_path: Path) -> None:
    own = settings(tmp_path, '[models.x]\narchitecture = "vit_b"\nfile = "x.pth"\n')
    saved(tmp_path)
    with pytest.raises(ModelFileError, match="is not x"):
        plan_runtime(own, download=False)
    (tmp_path / "x.pth").write_text("<!doctype html>")
    with pytest.raises(ModelFileError, match="an HTML page"):
        plan_runtime(own, download=False)


def test_an_entry_with_a_url_and_no_digest_before_its_file_is_there(tmp_path: Path) -> None:
    own = settings(tmp_path, '[models.x]\narchitecture = "vit_b"\nfile = "x.pth"\nurl = "https://127.0.0.1/x.pth"\n')
    plan = plan_runtime(own, download=False)
    assert not plan.pytorch_available
    assert any("the start will download it" in finding for finding in plan.findings)


def test_a_file_that_alone_tells_the_architecture_must_be_there(tmp_path: Path) -> None:
    own = settings(tmp_path, '[models.x]\nfile = "x.pth"\nurl = "https://127.0.0.1/x.pth"\n')
    with pytest.raises(ModelFileError, match="only its shapes tell what x is"):
        plan_runtime(own, download=False)
