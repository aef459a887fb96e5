"""The decoder in segment-anything's own interface computes what `SamOnnxModel` does."""

from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest
import torch
from oracle import TINY, random_sam

from conversion.convert_to_onnx import convert_stock_decoder
from conversion.stock_decoder import OUTPUTS, PROMPTS, compare_stock_decoder, stock_path, write_stock_decoder
from segmentation.errors import ConfigurationError
from segmentation.weights.architecture import Preprocess
from segmentation.weights.manifest import ModelEntry, ModelSpec

SPEC = ModelSpec("tiny", TINY, "tiny.pth")


def test_twenty_prompts_as_the_reference(tmp_path: Path) -> None:
    torch.save(random_sam().state_dict(), tmp_path / "tiny.pth")
    said: list[str] = []
    convert_stock_decoder(tmp_path / "tiny.pth", ModelEntry("tiny", None, "tiny.pth"), tmp_path, say=said.append)
    assert f"on {PROMPTS} prompts" in said[0]
    session = onnxruntime.InferenceSession(str(stock_path(tmp_path, "tiny")), providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_outputs()] == list(OUTPUTS)
    assert {value.name for value in session.get_inputs()} == {
        "image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size",
    }  # fmt: skip


def test_the_comparison_notices_other_weights(tmp_path: Path) -> None:
    sam = random_sam()
    path, findings = write_stock_decoder(SPEC, sam.state_dict(), sam, "0", tmp_path)
    assert len(findings) == PROMPTS * len(OUTPUTS)
    assert max(finding.error for finding in findings) < 1e-4
    other = random_sam(seed=1)
    assert not any(finding.passed for finding in compare_stock_decoder(path, other, TINY))
    path.unlink()
    write_stock_decoder(SPEC, sam.state_dict(), other, "0", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_squashes_has_none(tmp_path: Path) -> None:
    spec = replace(SPEC, architecture=replace(TINY, preprocess=Preprocess(resize="squash")))
    with pytest.raises(ConfigurationError, match="keeps a picture's proportions"):
        write_stock_decoder(spec, random_sam().state_dict(), random_sam(), "0", tmp_path)
