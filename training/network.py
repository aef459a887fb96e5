"""The image and prompt encoders' forward pass for training, on windows that may be smaller than the model's input.

A window is treated as a part of the model's frame, at a random place: it gets that part of the position tables, and its
prompts are moved there. So nothing has to be interpolated when training goes on at full size.
"""

from dataclasses import dataclass

import torch
from segment_anything.modeling import ImageEncoderViT, Sam
from segment_anything.modeling.image_encoder import Attention, Block, window_partition, window_unpartition
from torch import Tensor

from training.prompts import Prompts
from training.samples import PADDING, Batch


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a window lies in the model's frame: `top` and `left` in patches, `side` in patches."""

    top: int
    left: int
    side: int


def normalise(sam: Sam, batch: Batch) -> Tensor:
    """Pixels float32 [b, 3, side, side], padding 0, as `Sam.preprocess` makes them."""
    pixels = (batch.images.float() - sam.pixel_mean) / sam.pixel_std
    return pixels * (batch.labels != PADDING)[:, None]


def encode(encoder: ImageEncoderViT, pixels: Tensor, frame: Frame) -> Tensor:
    """Embeddings [b, 256, side, side] of normalised pixels float32 [b, 3, 16 side, 16 side]."""
    tokens = encoder.patch_embed(pixels)
    rows, columns = slice(frame.top, frame.top + frame.side), slice(frame.left, frame.left + frame.side)
    tokens = tokens + encoder.pos_embed[:, rows, columns]
    for block in encoder.blocks:
        tokens = _block(block, tokens)
    return encoder.neck(tokens.permute(0, 3, 1, 2))


def embed_prompts(sam: Sam, prompts: Prompts, frame: Frame) -> Tensor:
    """Sparse embeddings float32 [n, tokens, 256]; a position's sines need full precision, so no autocast here."""
    device = sam.device
    shift = torch.tensor([frame.left, frame.top], dtype=torch.float32, device=device) * _patch(sam)
    tokens = []
    with torch.autocast(device.type, enabled=False):
        if prompts.points is not None and prompts.labels is not None:
            # `_embed_points` moves points to the middle of their pixel; ours are there already.
            points = prompts.points.to(device) + shift - 0.5
            tokens.append(
                sam.prompt_encoder._embed_points(points, prompts.labels.to(device), pad=prompts.boxes is None)
            )
        if prompts.boxes is not None:
            tokens.append(sam.prompt_encoder._embed_boxes(prompts.boxes.to(device) + shift.repeat(2) - 0.5))
        return torch.cat(tokens, dim=1)


def _patch(sam: Sam) -> int:
    return sam.image_encoder.img_size // sam.prompt_encoder.image_embedding_size[0]


def _block(block: Block, tokens: Tensor) -> Tensor:
    shortcut = tokens
    tokens = block.norm1(tokens)
    if block.window_size:
        side = tokens.shape[1:3]
        windows, padded = window_partition(tokens, block.window_size)
        tokens = window_unpartition(_attend(block.attn, windows), block.window_size, padded, side)
    else:
        tokens = _attend(block.attn, tokens)
    tokens = shortcut + tokens
    return tokens + block.mlp(block.norm2(tokens))


def _attend(attention: Attention, tokens: Tensor) -> Tensor:
    """Attention with decomposed relative positions; a window smaller than the tables uses their middle.

    A query's biases by row and by column are appended to it, and to a key which row and column it is in: one product
    gives scores with their bias.
    """
    batch, side, _, width = tokens.shape
    q, k, v = attention.qkv(tokens).reshape(batch, side * side, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    places = torch.arange(side, device=tokens.device)
    steps = places[:, None] - places[None] + attention.rel_pos_h.shape[0] // 2
    grid = q.unflatten(2, (side, side))
    by_row = torch.einsum("bnhwc,hkc->bnhwk", grid, attention.rel_pos_h[steps].to(q.dtype)).flatten(2, 3)
    by_column = torch.einsum("bnhwc,wkc->bnhwk", grid, attention.rel_pos_w[steps].to(q.dtype)).flatten(2, 3)
    own = torch.eye(side, dtype=q.dtype, device=q.device)
    place = torch.cat([own.repeat_interleave(side, 0), own.repeat(side, 1)], dim=1).expand(*k.shape[:3], -1)
    placed_q = torch.cat([q * attention.scale, by_row, by_column], dim=-1)
    scores = placed_q @ torch.cat([k, place], dim=-1).transpose(-1, -2)
    with torch.autocast(scores.device.type, enabled=False):
        mixed = scores.softmax(dim=-1) @ v
    return attention.proj(mixed.transpose(1, 2).reshape(batch, side, side, width))
