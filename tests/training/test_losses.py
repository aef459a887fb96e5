"""Losses prefer what they should."""

import pytest
import torch

from training.losses import mask_loss, target_masks, true_iou

DISC = torch.zeros(1, 1, 32, 32)
DISC[..., 8:20, 10:22] = 1.0


@pytest.mark.parametrize("balance", [0.0, 1.0])
def test_truth_costs_less_than_empty_full_and_shifted(balance: float) -> None:
    cost = {
        name: float(mask_loss((mask - 0.5) * 80, DISC, balance))
        for name, mask in {
            "truth": DISC,
            "empty": torch.zeros_like(DISC),
            "full": torch.ones_like(DISC),
            "shifted": DISC.roll(2, -1),
        }.items()
    }
    assert cost["truth"] < 0.1 * min(cost["empty"], cost["full"], cost["shifted"])


def test_target_masks_are_shares_of_cells() -> None:
    labels = torch.zeros(1, 16, 16, dtype=torch.uint8)
    labels[0, 4:8, 4:6] = 3
    targets = torch.zeros(1, 1, 256, dtype=torch.bool)
    targets[..., 3] = True
    expected = torch.zeros(4, 4)
    expected[1, 1] = 0.5
    torch.testing.assert_close(target_masks(labels, targets)[0, 0], expected)


def test_true_iou() -> None:
    logits = (DISC.roll(6, -1) - 0.5) * 4
    assert float(true_iou(logits, DISC)) == pytest.approx(72 / 216)
    assert float(true_iou(torch.full_like(DISC, -1.0), torch.zeros_like(DISC))) == 0.0
