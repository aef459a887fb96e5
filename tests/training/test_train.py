"""Training runs, is kept, and goes on."""

from pathlib import Path

import pytest
import torch

from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.weights.architecture import VitArchitecture
from training.pool import make_pool, open_pool
from training.state import TrainingState
from training.train import Stage, train

SMALL = VitArchitecture(image_size=128, embed_dim=32, depth=2, num_heads=2, global_attn_indexes=(1,), window_size=4)
INSTANT = 1e-6


@pytest.mark.slow
def test_each_kind_of_stage_steps_and_resumes(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", count=2, workers=1)
    pool = open_pool(tmp_path / "pool")
    torch.manual_seed(0)
    state = TrainingState(build_sam(SMALL).train(), tmp_path)
    before = state.sam.mask_decoder.iou_token.weight.detach().clone()
    train(state, pool, [Stage(kind, 64, 2, 3, INSTANT) for kind in ("dense", "masks", "clicks")], 1e-3, rank=0)
    assert state.steps >= 1
    assert state.elapsed > 0

    resumed = TrainingState(build_sam(SMALL).train(), tmp_path)
    resumed.load()
    assert (resumed.steps, resumed.elapsed) == (state.steps, state.elapsed)
    for name, value in state.sam.state_dict().items():
        torch.testing.assert_close(resumed.sam.state_dict()[name], value)
    train(resumed, pool, [Stage("clicks", 64, 2, 3, resumed.elapsed / 60 + INSTANT)], 1e-3, rank=0)
    assert resumed.steps > state.steps
    assert (resumed.sam.mask_decoder.iou_token.weight != before).any()


def test_kept_weights_have_the_reference_names_in_half_precision(tmp_path: Path) -> None:
    state = TrainingState(build_sam(SMALL), tmp_path)
    state.save()
    weights = torch.load(tmp_path / "sam_demo.pth", weights_only=True)
    assert weights.keys() == build_sam(SMALL).state_dict().keys()
    assert {value.dtype for value in weights.values()} == {torch.float16}
