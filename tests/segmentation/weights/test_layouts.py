"""Every layout in which people save a SAM gives the same model; what is no SAM 1 is named."""

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging_face import to_hugging_face
from oracle import TINY, random_sam
from safetensors.torch import save_file

from segmentation.backends.pytorch.backend import PyTorchEncoder
from segmentation.errors import ModelFileError
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import load_manifest
from segmentation.weights.tensors import load_state_dict, read_checkpoint

State = Mapping[str, torch.Tensor]

NESTINGS = ("", "model", "model_state", "ema")
PREFIXES = ("", "module.", "model.", "sam.", "_orig_mod.module.")
KINDS = (".pth", ".safetensors")


@pytest.fixture(scope="module")
def state() -> State:
    return random_sam(seed=3).state_dict()


def nested(state: State, nesting: str) -> Mapping[str, Any]:
    """With what stands beside it in a training's checkpoint."""
    if not nesting:
        return state
    beside = {"iteration": 10, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "decoder_state": {}}
    return {**beside, nesting: state}


def save(path: Path, state: State, nesting: str, prefix: str) -> Path:
    """safetensors can't nest: there a nesting is one more prefix."""
    named = {prefix + name: tensor.contiguous() for name, tensor in state.items()}
    if path.suffix == ".pth":
        torch.save(nested(named, nesting), path)
    else:
        save_file({f"{nesting}.{name}" if nesting else name: tensor for name, tensor in named.items()}, path)
    return path


def embed(checkpoint: Path, architecture: Architecture) -> np.ndarray:
    side = architecture.image_size
    picture = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    return PyTorchEncoder(checkpoint, architecture).encode(picture, np.array([[side, side * 3 // 4]]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_layout_gives_the_same_embedding(tmp_path: Path, state: State, nesting: str, prefix: str, kind: str) -> None:
    torch.save(state, tmp_path / "plain.pth")
    path = save(tmp_path / f"x{kind}", state, nesting, prefix)
    np.testing.assert_array_equal(embed(path, TINY), embed(tmp_path / "plain.pth", TINY))
    notes = "; ".join(read_checkpoint(path).notes)
    assert all(part in notes for part in (*prefix.split("."), nesting)), "what was stripped is said"


@pytest.mark.slow
def test_forty_layouts_of_the_demo_model(tmp_path: Path) -> None:
    demo = load_manifest()["demo"]
    assert demo.architecture is not None
    checkpoint = Path("model") / demo.file
    state, plain = load_state_dict(checkpoint), embed(checkpoint, demo.architecture)
    layouts = [(nesting, prefix, kind) for nesting in NESTINGS for prefix in PREFIXES for kind in KINDS]
    assert len(layouts) == 40
    for nesting, prefix, kind in layouts:
        path = save(tmp_path / f"x{kind}", state, nesting, prefix)
        np.testing.assert_array_equal(embed(path, demo.architecture), plain, f"{nesting} {prefix} {kind}")


@pytest.mark.parametrize("kind", KINDS)
def test_hugging_faces_names(tmp_path: Path, state: State, kind: str) -> None:
    path = save(tmp_path / f"x{kind}", to_hugging_face(state), "", "")
    read = read_checkpoint(path)
    assert read.state.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in read.state.items())
    assert "Hugging Face" in read.notes[0]


def test_what_stands_beside_the_model_is_left_out_and_said(tmp_path: Path, state: State) -> None:
    named = {f"sam.{name}": tensor for name, tensor in state.items()}
    torch.save({**named, "unetr.out.weight": torch.ones(2), "sam.pixel_mean": torch.ones(3)}, tmp_path / "x.pth")
    read = read_checkpoint(tmp_path / "x.pth")
    assert read.state.keys() == state.keys()
    assert read.notes[1:] == (
        "left out 1 tensors beside the SAM (unetr)",
        "left out pixel_mean and pixel_std: the manifest's architecture has them",
    )


def test_weights_come_before_their_moving_average(tmp_path: Path, state: State) -> None:
    average = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"ema": average, "model": state}, tmp_path / "x.pth")
    read = read_checkpoint(tmp_path / "x.pth")
    assert torch.equal(read.state["image_encoder.pos_embed"], state["image_encoder.pos_embed"])
    assert read.notes[0].endswith("not ema")
    flat = {f"teacher.{name}": tensor for name, tensor in average.items()}
    torch.save({**flat, **{f"student_net.{name}": tensor for name, tensor in state.items()}}, tmp_path / "x.pth")
    read = read_checkpoint(tmp_path / "x.pth")
    assert torch.equal(read.state["image_encoder.pos_embed"], state["image_encoder.pos_embed"])
    assert "left out the second SAM under teacher." in read.notes


ENCODER = "image_encoder.blocks.0"


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"mask_decoder.hf_token.weight": 1}, "SAM-HQ"),
        ({"mask_decoder.custom_robust_token.weight": 1}, "RobustSAM"),
        ({f"{ENCODER}.Adapter.D_fc1.weight": 1}, "adapter layers"),
        ({f"{ENCODER}.attn.qkv.linear_a_q.weight": 1}, "LoRA"),
        ({f"{ENCODER}.attn.qkv.lora_A.default.weight": 1}, "LoRA"),
        ({"mask_decoder.mask_tokens.weight": 7}, "makes 7 masks"),
    ],
)
def test_a_relative_of_sam_is_named(tmp_path: Path, state: State, extra: dict[str, int], says: str) -> None:
    torch.save({**state, **{name: torch.ones(rows, 2) for name, rows in extra.items()}}, tmp_path / "x.pth")
    with pytest.raises(ModelFileError, match=says):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["image_encoder.trunk.patch_embed.proj.weight", "sam_mask_decoder.iou_token.weight"], "SAM 2"),
        (["detector.backbone.vision_backbone.trunk.x", "tracker.y"], "SAM 3"),
        (["image_encoder.backbone.input_stem.op_list.0.conv.weight", "mask_decoder.iou_token.weight"], "EfficientViT"),
        (["mask_decoder.iou_token.weight", "prompt_encoder.x"], "lacks the image_encoder"),
        (["iou_token.weight", "mask_tokens.weight"], "a mask decoder alone"),
        (["patch_embed.proj.weight", "pos_embed"], "an image encoder alone"),
        (["decoder.blocks.0.weight", "out_conv.weight"], "automatic segmentation"),
        (["w_a_000", "w_b_000", "mask_decoder.iou_token.weight"], "LoRA"),
        (["layer1.0.conv1.weight", "fc.weight"], "is no SAM: it has tensors like layer1.0.conv1.weight"),
    ],
)
def test_other_weights_are_named(tmp_path: Path, names: list[str], says: str) -> None:
    torch.save({"model": {name: torch.ones(1) for name in names}}, tmp_path / "x.pth")
    with pytest.raises(ModelFileError, match=says):
        read_checkpoint(tmp_path / "x.pth")


def header(text: str, size: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text.encode() + data


OVERLAP = {name: {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]} for name in ("a", "b")}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an XML message"),
        (b"\x08\x08\x12\x07pytorch\x1a", "an ONNX file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"", "empty"),
        (header("{", 1 << 30), "header too large"),
        (header(json.dumps(OVERLAP), data=bytes(8)), "damaged safetensors"),
        (header(json.dumps({"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}), data=b""), "damaged safe"),
        (header('{"a": 1}'), "damaged safetensors"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ModelFileError, match=says) as caught:
        read_checkpoint(tmp_path / "x.pth")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("names", "says"), [(["a/constants.pkl", "a/data.pkl"], "TorchScript"), (["weights/x.pth"], "a zip archive with")]
)
def test_an_archive_of_another_kind_is_named(tmp_path: Path, names: list[str], says: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    with pytest.raises(ModelFileError, match=says):
        read_checkpoint(tmp_path / "x.pth")
