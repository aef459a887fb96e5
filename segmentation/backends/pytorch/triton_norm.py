"""Residual sum and layer norm in one pass over the tokens, on a GPU. Needs triton, as `triton_attention` does."""

import torch
import triton
import triton.language as tl


def add_norm(tokens: torch.Tensor, branch: torch.Tensor | None, norm: torch.nn.LayerNorm, out: torch.Tensor) -> None:
    """Adds a branch to the tokens, in place, and writes their layer norm.

    Args:
        tokens: float32 [n, E], contiguous.
        branch: [n, E], contiguous, in any float type; None if there is nothing to add.
        norm: over E, its weight and bias in float32.
        out: [n, E], contiguous, in any float type.
    """
    count, dim = tokens.shape
    _add_norm[(count,)](
        tokens,
        tokens if branch is None else branch,
        norm.weight,
        norm.bias,
        out,
        norm.eps,
        ADD=branch is not None,
        DIM=dim,
        BLOCK=triton.next_power_of_2(dim),
        num_warps=4,
    )


@triton.jit
def _add_norm(tokens, branch, weight, bias, out, epsilon, ADD: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr):
    """One token a program."""
    channel = tl.arange(0, BLOCK)
    exists = channel < DIM
    at = tl.program_id(0).to(tl.int64) * DIM + channel
    values = tl.load(tokens + at, mask=exists, other=0.0)
    if ADD:
        values += tl.load(branch + at, mask=exists, other=0.0).to(tl.float32)
        tl.store(tokens + at, values, mask=exists)
    centred = tl.where(exists, values - tl.sum(values, 0) / DIM, 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, 0) / DIM + epsilon)
    normed = centred * scale * tl.load(weight + channel, mask=exists, other=0.0)
    normed += tl.load(bias + channel, mask=exists, other=0.0)
    tl.store(out + at, normed.to(out.dtype.element_ty), mask=exists)
