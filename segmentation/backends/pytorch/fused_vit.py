"""SAM's image encoder on a GPU in bf16 or fp16: `LeanViT` with kernels of this project's own.

Attention reads the projection's output where it lies (`triton_attention`), so no window is cut, filled or joined, and
no token is projected that is not there. Sums and norms are fp32, in one pass (`triton_norm`). Needs triton, and the C
compiler that triton needs.
"""

from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT
from torch.nn import functional

from segmentation.backends.pytorch import triton_attention
from segmentation.backends.pytorch.lean_vit import LeanViT
from segmentation.backends.pytorch.triton_norm import add_norm
from segmentation.weights.architecture import VitArchitecture

AGREEMENT = 0.1
"""Largest difference from PyTorch's operators, of the largest value, that rounding explains: some 0.01 in bf16."""


class FusedViT(LeanViT):
    """As `LeanViT`; for an architecture that `fits`, linear layers and the neck in bf16 or fp16."""

    def __init__(self, vit: ImageEncoderViT, architecture: VitArchitecture) -> None:
        super().__init__(vit, architecture)
        self._heads = architecture.num_heads
        self._tables = [_table(block.attn, self._heads, self._dtype) for block in self._vit.blocks]

    @staticmethod
    def fits(architecture: VitArchitecture) -> bool:
        """Whether the kernels take this architecture."""
        head_dim = architecture.embed_dim // architecture.num_heads
        return triton_attention.fits(head_dim, architecture.embedding_side, architecture.window_size)

    @torch.inference_mode()
    def fault(self) -> str | None:
        """Why the kernels can't be used here, or None.

        They are compiled on the machine that runs them, and compilers of GPU kernels have been seen to make wrong ones;
        so they are compared with PyTorch's operators, on noise, once.
        """
        side = self._architecture.image_size
        generator = torch.Generator().manual_seed(0)
        noise = torch.randint(256, (1, side, side, 3), dtype=torch.uint8, generator=generator).to(self._device)
        tokens = self._patches(noise, torch.tensor([[side, side]], device=self._device))
        expected = tokens.clone()
        super()._blocks(expected)
        try:
            self._blocks(tokens)
        except Exception as error:
            # No compiler, no cache folder, an old GPU: triton's own errors derive from `Exception` alone.
            return f"they can't be compiled or run: {type(error).__name__}: {error}"
        difference = float((tokens - expected).abs().max() / expected.abs().max())
        return None if difference < AGREEMENT else f"they differ from PyTorch by {difference:.2g} of the largest value"

    def _blocks(self, tokens: torch.Tensor) -> None:
        """All blocks, on tokens float32 [B, h, w, E], in place."""
        batch, side, _, dim = tokens.shape
        flat = tokens.view(-1, dim)
        shape = (batch, side, self._heads, dim // self._heads)
        normed = torch.empty_like(flat, dtype=self._dtype)
        # The last is the projection of a token of zeros, for the windows beyond the picture.
        qkv = normed.new_empty(len(flat) + 1, 3 * dim)
        branch: torch.Tensor | None = None
        for block, table in zip(self._vit.blocks, self._tables, strict=True):
            add_norm(flat, branch, block.norm1, normed)
            branch = self._attend(normed, qkv, block, table, shape)
            add_norm(flat, branch, block.norm2, normed)
            hidden = functional.gelu(block.mlp.lin1(normed))
            branch = block.mlp.lin2(hidden)
        if branch is not None:
            flat += branch

    def _attend(
        self, normed: torch.Tensor, qkv: torch.Tensor, block: Any, table: torch.Tensor, shape: tuple[int, int, int, int]
    ) -> torch.Tensor:
        """[n, E] -> [n, E]; `qkv` is memory for the projections."""
        projection, every = block.attn.qkv, qkv[:-1]
        torch.addmm(projection.bias, normed, projection.weight.T, out=every)
        qkv[-1] = projection.bias
        queries = every.view(len(normed), 3, self._heads, -1)[:, 0].transpose(0, 1)
        attended = triton_attention.attend(qkv, torch.bmm(queries, table), shape, block.window_size or shape[1])
        made: torch.Tensor = block.attn.proj(attended)
        return made


def _table(attention: Any, heads: int, dtype: torch.dtype) -> torch.Tensor:
    """The position tables over the scale, for `triton_attention.attend`: [H, d, w], the same for all heads.

    Offsets upside down, so that the products of a query with the keys 0, 1, ... lie side by side; w is a multiple of 8,
    which products want.
    """
    rows, columns = attention.rel_pos_h.detach().float(), attention.rel_pos_w.detach().float()
    table = torch.cat([rows.flip(0), columns.flip(0)]).T / rows.shape[1] ** -0.5
    table = functional.pad(table, (0, -table.shape[1] % 8)).to(dtype)
    return table.expand(heads, *table.shape).contiguous()
