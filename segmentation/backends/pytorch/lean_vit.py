"""SAM's image encoder over the weights of `segment_anything.modeling.ImageEncoderViT`: its function, with less work.

Tokens stay channel-last. Normalising and padding are part of it, on the device. The attention never holds a picture's
scores (`relative_attention`), and the hidden layer of the MLPs exists for a part of the tokens at a time. Sums and
norms are fp32; matrix products are in the dtype of their weights. Knows no files and no numpy.
"""

from functools import cached_property
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT
from torch.nn import functional

from segmentation.backends.pytorch.normalise import Normalise
from segmentation.backends.pytorch.relative_attention import RelativePosition, Workspace
from segmentation.weights.architecture import VitArchitecture

MLP_TOKENS = 2048
"""Tokens of one run of an MLP on a CPU."""


class LeanViT:
    """An image encoder, ready to run.

    Args:
        vit: its weights, on one device. Linear layers and the neck's convolutions may be in a lower precision, in which
            they are then computed; the rest is fp32.
        architecture: of the weights.
    """

    def __init__(self, vit: ImageEncoderViT, architecture: VitArchitecture) -> None:
        self._vit: Any = vit  # torch types every child as a module or a tensor
        self._architecture = architecture
        self._device: torch.device = self._vit.pos_embed.device
        self._dtype: torch.dtype = self._vit.blocks[0].attn.qkv.weight.dtype
        self._pixels = Normalise(architecture, self._device)
        kernel = self._vit.patch_embed.proj.weight
        self._patch_kernel = kernel.permute(0, 2, 3, 1).reshape(kernel.shape[0], -1)

    @cached_property
    def _positions(self) -> list[RelativePosition]:
        folded = self._device.type != "cpu" or self._dtype != torch.float32
        return [
            RelativePosition(
                block.attn.rel_pos_h,
                block.attn.rel_pos_w,
                block.window_size or self._architecture.embedding_side,
                dtype=self._dtype,
                folded=folded,
            )
            for block in self._vit.blocks
        ]

    def __call__(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Image embeddings float32 [B, C, h, w] of pictures uint8 [B, S, S, 3] with sizes int64 [B, 2], on the device.

        Pixels beyond a picture's (height, width) count as 0 after normalising.
        """
        tokens = self._patches(images, sizes)
        self._blocks(tokens)
        return self._neck(tokens)

    def _blocks(self, tokens: torch.Tensor) -> None:
        """All blocks, on tokens float32 [B, h, w, E], in place."""
        workspace: Workspace = {}
        for block, position in zip(self._vit.blocks, self._positions, strict=True):
            normed = _norm(tokens, block.norm1).to(self._dtype)
            tokens += self._attention(normed, block, position, workspace)
            self._add_mlp(tokens.view(-1, tokens.shape[-1]), block)

    def _patches(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Tokens float32 [B, h, w, E]: normalised pixels, patch embedding and absolute position."""
        pixels = self._pixels(images, sizes)
        side, patch = self._architecture.embedding_side, self._architecture.patch_size
        grid = pixels.view(-1, side, patch, side, patch * 3).transpose(2, 3).flatten(3)
        bias = self._vit.patch_embed.proj.bias
        tokens: torch.Tensor = functional.linear(grid, self._patch_kernel, bias).add_(self._vit.pos_embed)
        return tokens

    def _attention(
        self, tokens: torch.Tensor, block: Any, position: RelativePosition, workspace: Workspace
    ) -> torch.Tensor:
        """[B, h, w, E], within windows or over the whole picture."""
        side = tokens.shape[1]
        squares = _cut(tokens, position.side)
        qkv = functional.linear(squares, block.attn.qkv.weight, block.attn.qkv.bias)
        attended = position.attend(qkv.view(*qkv.shape[:-1], 3, -1, position.head_dim), workspace)
        return functional.linear(_join(attended, position.side, side), block.attn.proj.weight, block.attn.proj.bias)

    def _add_mlp(self, tokens: torch.Tensor, block: Any) -> None:
        """Adds the MLP's answer to tokens [n, E], in place."""
        step = MLP_TOKENS if self._device.type == "cpu" else len(tokens)
        for start in range(0, len(tokens), step):
            part = tokens[start : start + step]
            hidden = block.mlp.lin1(_norm(part, block.norm2).to(self._dtype))
            part.add_(block.mlp.lin2(functional.gelu(hidden)))

    def _neck(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [B, h, w, E] -> embeddings [B, C, h, w], contiguous."""
        narrow, first, mix, last = self._vit.neck
        planes = functional.linear(tokens.to(self._dtype), narrow.weight.flatten(1))
        planes = _norm(planes.float(), first).to(self._dtype)
        mixed = mix(planes.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).float()
        return _norm(mixed, last).permute(0, 3, 1, 2).contiguous()


def _norm(values: torch.Tensor, norm: Any) -> torch.Tensor:
    """`LayerNorm`, or `LayerNorm2d` with the channels last."""
    return functional.layer_norm(values, values.shape[-1:], norm.weight, norm.bias, norm.eps)


def _cut(tokens: torch.Tensor, side: int) -> torch.Tensor:
    """`window_partition`: [B, h, h, E] -> squares [N, ss, E]; incomplete ones are filled with zeros.

    The filled tokens are then projected like the others: that is cheaper than copying three projections into windows.
    """
    batch, height, _, dim = tokens.shape
    padding = -height % side
    if padding:
        tokens = functional.pad(tokens, (0, 0, 0, padding, 0, padding))
    count = (height + padding) // side
    return tokens.view(batch, count, side, count, side, dim).transpose(2, 3).reshape(-1, side * side, dim)


def _join(squares: torch.Tensor, side: int, height: int) -> torch.Tensor:
    """`window_unpartition`: squares [N, ss, E] -> tokens [B, h, h, E], without what filled them."""
    count = -(-height // side)
    grid = squares.view(-1, count, count, side, side, squares.shape[-1]).transpose(2, 3)
    return grid.reshape(-1, count * side, count * side, squares.shape[-1])[:, :height, :height].contiguous()
