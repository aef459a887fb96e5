"""What is minimised: masks by locally balanced cross-entropy and dice, scores by their distance to the true IoU."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits

# Losses see the logits over this. So logits come out that much larger, and the stability score, which moves the
# threshold by 1, is not dominated by the 4-pixel cells of low-res logits.
TEMPERATURE = 4.0
FAR_SHARE = 0.5
# Cells around an object, at least: a target may have vanished between the cells of a small picture.
MIN_NEAR = 16


def target_masks(labels: Tensor, targets: Tensor) -> Tensor:
    """Share of each low-res cell that a target covers, float32 [n, m, side / 4, side / 4].

    `labels` uint8 [b, side, side], `targets` bool [n, m, 256], n a multiple of b. Every second pixel is looked at.
    """
    count = len(targets) // len(labels)
    sampled = labels[:, ::2, ::2].long().flatten(1)
    tables = targets.to(torch.float32).unflatten(0, (len(labels), count))
    masks = torch.stack([table[:, :, row] for table, row in zip(tables, sampled, strict=True)])
    return avg_pool2d(masks.flatten(0, 1).unflatten(-1, (labels.shape[1] // 2, labels.shape[2] // 2)), 2)


def mask_loss(logits: Tensor, truth: Tensor, balance: float) -> Tensor:
    """Cross-entropy plus dice of each mask, [n, m]; `logits` and `truth` (0 to 1) float32 [n, m, h, w].

    Cells far from the object count together half as much as those in and around it: an empty mask doesn't pay, and near
    the edge inside and outside weigh the same, so that masks are neither swollen nor shrunk. That is with `balance` 0;
    with 1, all of the inside weighs as much as all of the outside, which keeps an untrained network from collapsing.
    """
    logits = logits / TEMPERATURE
    near = _around(truth)
    near_count, cells = near.sum((-2, -1)).clamp(min=MIN_NEAR), truth.shape[-1] * truth.shape[-2]
    far_weight = (FAR_SHARE * near_count / (cells - near_count).clamp(min=1)).clamp(max=1.0)
    weight = torch.where(near, 1.0, far_weight[..., None, None])
    inside = (weight * truth).sum((-2, -1))
    outside = (weight * (1 - truth)).sum((-2, -1))
    ratio = (outside / inside.clamp(min=1)).clamp(1 / 30, 30) ** balance
    weight = weight * (1 + truth * (ratio[..., None, None] - 1))
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none")
    entropy = (entropy * weight).sum((-2, -1)) / weight.sum((-2, -1))
    shown = logits.sigmoid()
    overlap = (shown * truth).sum((-2, -1))
    dice = 1 - (2 * overlap + 1) / (shown.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    return 2 * entropy + dice


def true_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of thresholded masks with thresholded truth, [n, m]; 0 when both are empty."""
    shown, there = logits > 0, truth > 0.5
    union = (shown | there).sum((-2, -1))
    return (shown & there).sum((-2, -1)) / union.clamp(min=1)


def _around(truth: Tensor) -> Tensor:
    """The bounding box of each mask, half its side larger on every side: bool [n, m, h, w]."""
    there = truth > 0
    return _stretch(there.any(-1))[..., :, None] & _stretch(there.any(-2))[..., None, :]


def _stretch(line: Tensor) -> Tensor:
    """From bool [..., k], the span from first to last True and half as much before and after, at least 3."""
    places = torch.arange(line.shape[-1], device=line.device)
    first = torch.where(line, places, line.shape[-1]).amin(-1, keepdim=True)
    last = torch.where(line, places, -1).amax(-1, keepdim=True)
    more = ((last - first) // 2).clamp(min=3)
    return (places >= first - more) & (places <= last + more)
