"""A dense task for the encoder: objects, their boundaries and the way to their centres, from the embedding alone.

Its head is thrown away after training.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, max_pool2d, pixel_shuffle, smooth_l1_loss

from training.samples import LABELS, PADDING

CELL = 4
REACH = 32.0


class DenseHead(nn.Module):
    """From embeddings [b, 256, s, s] to [b, 4, 4s, 4s]: logits of object and boundary, x and y to the centre."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.projection = nn.Conv2d(width, 4 * CELL**2, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        return pixel_shuffle(self.projection(embedding), CELL)


def dense_loss(output: Tensor, labels: Tensor) -> Tensor:
    """Scalar. `output` float32 as of DenseHead, `labels` uint8 [b, side, side]."""
    cells = labels[:, CELL // 2 :: CELL, CELL // 2 :: CELL].long()
    known = (cells != PADDING).float()
    objects = ((cells > 0) & (cells != PADDING)).float()
    values = cells[:, None].float()
    boundary = (max_pool2d(values, 3, 1, 1) != -max_pool2d(-values, 3, 1, 1))[:, 0].float()
    there = binary_cross_entropy_with_logits(output[:, 0], objects, weight=known)
    edges = binary_cross_entropy_with_logits(output[:, 1], boundary, weight=known * (1 + 2 * boundary))
    ways = smooth_l1_loss(output[:, 2:], _to_centre(cells) * CELL / REACH, reduction="none").sum(1)
    return there + edges + (ways * objects).sum() / objects.sum().clamp(min=1)


def _to_centre(cells: Tensor) -> Tensor:
    """Offset from each cell to the mean of its label's cells, float32 [b, 2 (x, y), h, w], in cells."""
    batch, height, width = cells.shape
    flat = cells.flatten(1)
    rows = torch.arange(height, device=cells.device).float()[:, None].expand(height, width)
    columns = torch.arange(width, device=cells.device).float().expand(height, width)
    places = torch.stack([columns, rows]).flatten(1).expand(batch, -1, -1)
    index = flat[:, None].expand(-1, 2, -1)
    sums = torch.zeros(batch, 2, LABELS, device=cells.device).scatter_add_(2, index, places)
    counts = torch.zeros(batch, LABELS, device=cells.device).scatter_add_(1, flat, torch.ones_like(flat).float())
    means = sums / counts.clamp(min=1)[:, None]
    return (means.gather(2, index) - places).unflatten(2, (height, width))
