"""The training forward pass is segment-anything's function, and a window is a part of the frame."""

import pytest
import torch
from segment_anything.modeling import Sam

from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.weights.architecture import VitArchitecture
from training.calibrate import fold
from training.decoder import decode
from training.network import Frame, embed_prompts, encode
from training.prompts import Prompts

SMALL = VitArchitecture(
    image_size=128, embed_dim=32, depth=2, num_heads=2, global_attn_indexes=(1,), window_size=4, prompt_embed_dim=256
)


@pytest.fixture(scope="module")
def sam() -> Sam:
    torch.manual_seed(0)
    model = build_sam(SMALL)
    for name, parameter in model.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_encoder_equals_the_reference(sam: Sam) -> None:
    pixels = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        expected = sam.image_encoder(pixels)
        torch.testing.assert_close(encode(sam.image_encoder, pixels, Frame(0, 0, 8)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("with_logits", [False, True])
def test_decoder_equals_the_reference(sam: Sam, with_logits: bool) -> None:
    embedding, points = torch.randn(1, 256, 8, 8), torch.rand(3, 2, 2) * 128
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    logits = torch.randn(3, 1, 32, 32) if with_logits else None
    with torch.no_grad():
        sparse, dense = sam.prompt_encoder((points - 0.5, labels), None, logits)
        expected = sam.mask_decoder.predict_masks(embedding, sam.prompt_encoder.get_dense_pe(), sparse, dense)
        actual = decode(sam, embedding, embed_prompts(sam, _prompts(points, labels), FULL), logits, FULL)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_box_tokens_equal_the_reference(sam: Sam) -> None:
    boxes = torch.tensor([[3.0, 5.0, 60.0, 80.0]])
    with torch.no_grad():
        expected, _ = sam.prompt_encoder(None, boxes - 0.5, None)
        torch.testing.assert_close(embed_prompts(sam, _prompts(None, None, boxes), FULL), expected)


def test_a_window_has_its_prompts_where_the_frame_has_them(sam: Sam) -> None:
    points, labels = torch.tensor([[[10.0, 20.0]]]), torch.ones(1, 1)
    moved = points + torch.tensor([3 * 16.0, 2 * 16.0])
    with torch.no_grad():
        in_window = embed_prompts(sam, _prompts(points, labels), Frame(top=2, left=3, side=4))
        torch.testing.assert_close(in_window, embed_prompts(sam, _prompts(moved, labels), FULL))


FULL = Frame(0, 0, 8)


def _prompts(points: torch.Tensor | None, labels: torch.Tensor | None, boxes: torch.Tensor | None = None) -> Prompts:
    return Prompts(1, points, labels, boxes, targets=torch.empty(0), goal=torch.empty(0))


def test_calibration_changes_scores_and_scale_but_no_mask(sam: Sam) -> None:
    """Logits given back as `mask_input` mean the same before and after."""
    embedding, points, labels = torch.randn(1, 256, 8, 8), torch.rand(2, 1, 2) * 128, torch.ones(2, 1)
    calibrated = build_sam(SMALL)
    calibrated.load_state_dict(sam.state_dict())
    fold(calibrated, slope=1.5, shift=-0.2, scale=3.0)
    with torch.no_grad():
        first, scores = decode(sam, embedding, embed_prompts(sam, _prompts(points, labels), FULL), None, FULL)
        sparse = embed_prompts(calibrated, _prompts(points, labels), FULL)
        folded, folded_scores = decode(calibrated, embedding, sparse, None, FULL)
        again, _ = decode(sam, embedding, sparse, first[:, :1], FULL)
        folded_again, _ = decode(calibrated, embedding, sparse, folded[:, :1], FULL)
    torch.testing.assert_close(folded, 3 * first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded_scores, 1.5 * scores - 0.2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded_again, 3 * again, rtol=1e-4, atol=1e-5)
