"""Attention with SAM's decomposed relative position as one kernel on a GPU, in bf16 or fp16.

Reads queries, keys and values where the projection left them, window by window or over the whole picture, and holds
scores for 64 keys at a time in registers (FlashAttention). The position costs next to nothing there:

- over the picture, the keys of one run are a row of it: their columns' part is the same in every run, and their row's
  part is a number a query;
- in windows, both parts are 2s further channels of the queries, against one-hot keys.

A window that reaches beyond the picture has keys there, which the projection makes of zeros, so they are its bias; it
has no queries there. Knows no weights but what it is given. Needs triton, which comes with PyTorch's CUDA builds.
"""

import torch
import triton
import triton.language as tl

LARGEST_WINDOW = 16
"""Side in tokens; channels for the rows of a window, and as many for its columns."""

_CHANNELS = tl.constexpr(LARGEST_WINDOW)
_LOG2_E = tl.constexpr(1.4426950408889634)


def fits(head_dim: int, side: int, window: int) -> bool:
    """Whether the kernels take an architecture: its head's channels, the picture's side and the windows' in tokens."""
    head = _head(head_dim)
    return (
        head >= 16
        and (head_dim == head or _head(head_dim - head) == head_dim - head >= 16)
        and side in (16, 32, 64, 128)
        and window <= LARGEST_WINDOW
    )


def attend(qkv: torch.Tensor, products: torch.Tensor, shape: tuple[int, int, int, int], side: int) -> torch.Tensor:
    """Multi-head attention of pictures of S x S tokens, within windows of `side` or, if that is S, over all of them.

    Args:
        qkv: [B * S * S + 1, 3 * H * d], contiguous: query, key and value of each token, and at last of one of zeros.
        products: [H, B * S * S, w], contiguous, w >= 4 * side - 2: queries times the position tables over the scale
            d**-0.5. For key rows 0, 1, ... those from element side - 1 - (row of the query) on, for key columns those
            from element 3 * side - 2 - (column of the query) on; rows and columns count in the window.
        shape: (B, S, H, d).
        side: of the squares of tokens that attend to each other.

    Returns:
        [B * S * S, H * d], in the dtype of `qkv`.
    """
    batch, grid, heads, dim = shape
    out = qkv.new_empty(batch * grid * grid, heads * dim)
    head = _head(dim)
    common = {"GRID": grid, "SIDE": side, "HEADS": heads, "DIM": dim, "HEAD": head, "TAIL": dim - head}
    if side == grid:
        _picture[(grid * grid // 64, heads, batch)](
            qkv, products, out, products.shape[2], dim**-0.5, **common, M=64, num_warps=4, num_stages=3
        )
    else:
        windows = triton.cdiv(grid, side)
        _windows[(triton.cdiv(side * side, 64), heads, batch * windows * windows)](
            qkv,
            products,
            out,
            products.shape[2],
            dim**-0.5,
            **common,
            M=64,
            N=32 if side * side <= 64 else 64,
            num_warps=4,
            num_stages=2,
        )
    return out


def _head(dim: int) -> int:
    """The channels that the first of two products takes, a power of two; the second takes the rest."""
    return 1 << (dim.bit_length() - 1) if dim else 0


@triton.jit
def _scores(query, query_tail, keys, mask, HEAD: tl.constexpr, TAIL: tl.constexpr):
    """Products of queries [M, d] with the keys [N] at the pointers, float32 [M, N]."""
    scores = tl.dot(query, tl.load(keys[None, :] + tl.arange(0, HEAD)[:, None], mask=mask[None, :], other=0.0))
    if TAIL > 0:
        tail = tl.load(keys[None, :] + (HEAD + tl.arange(0, TAIL))[:, None], mask=mask[None, :], other=0.0)
        scores = tl.dot(query_tail, tail, scores)
    return scores


@triton.jit
def _rows(pointers, mask, FIRST: tl.constexpr, COUNT: tl.constexpr):
    """[M, COUNT] channels from the first on, of the rows [M] at the pointers."""
    return tl.load(pointers[:, None] + (FIRST + tl.arange(0, COUNT))[None, :], mask=mask[:, None], other=0.0)


@triton.jit
def _weigh(
    scores,
    offset,
    highest,
    total,
    sums,
    sums_tail,
    value,
    mask,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
):
    """The softmax's running state with the keys of one more run in it.

    scores [M, N], plus an offset [M] each, are powers of two; highest [M] and total [M] are the largest so far and the
    sum of shares by it; sums [M, HEAD] and sums_tail [M, TAIL] are of values by their shares.
    """
    higher = tl.maximum(highest, tl.max(scores, 1) + offset)
    shares = tl.math.exp2(scores - (higher - offset)[:, None])
    shrink = tl.math.exp2(highest - higher)
    total = total * shrink + tl.sum(shares, 1)
    shares = shares.to(value.dtype.element_ty)
    sums = tl.dot(shares, _rows(value, mask, 0, HEAD), sums * shrink[:, None])
    if TAIL > 0:
        sums_tail = tl.dot(shares, _rows(value, mask, HEAD, TAIL), sums_tail * shrink[:, None])
    return higher, total, sums, sums_tail


@triton.jit
def _write(out, sums, sums_tail, total, mask, HEAD: tl.constexpr, TAIL: tl.constexpr):
    """What `_weigh` has summed up, to the pointers [M]."""
    found = (sums / total[:, None]).to(out.dtype.element_ty)
    tl.store(out[:, None] + tl.arange(0, HEAD)[None, :], found, mask=mask[:, None])
    if TAIL > 0:
        found = (sums_tail / total[:, None]).to(out.dtype.element_ty)
        tl.store(out[:, None] + (HEAD + tl.arange(0, TAIL))[None, :], found, mask=mask[:, None])


@triton.jit
def _picture(
    qkv,
    products,
    out,
    width,
    scale,
    GRID: tl.constexpr,
    SIDE: tl.constexpr,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    M: tl.constexpr,
):
    """M queries of one head of one picture against all keys, a row of the picture at a time."""
    stride: tl.constexpr = 3 * HEADS * DIM
    tokens: tl.constexpr = GRID * GRID
    head, picture = tl.program_id(1), tl.program_id(2).to(tl.int64)
    token = tl.program_id(0) * M + tl.arange(0, M)
    every_query, every_key = tl.full([M], 1, tl.int1), tl.full([SIDE], 1, tl.int1)
    pointers = qkv + (picture * tokens + token) * stride + head * DIM
    query = _rows(pointers, every_query, 0, HEAD)
    query_tail = query
    if TAIL > 0:
        query_tail = _rows(pointers, every_query, HEAD, TAIL)
    scale = scale * _LOG2_E
    position = products + ((head * tl.num_programs(2) + picture) * tokens + token) * width
    # Times -1, not a difference: triton takes the latter for aligned to what the columns are.
    by_row = position + (SIDE - 1) + token // GRID * -1
    by_column = position + (3 * SIDE - 2) + token % GRID * -1
    columns = tl.load(by_column[:, None] + tl.arange(0, SIDE)[None, :]).to(tl.float32) * scale
    key = qkv + picture * tokens * stride + (HEADS + head) * DIM + tl.arange(0, SIDE) * stride
    highest, total = tl.full([M], float("-inf"), tl.float32), tl.zeros([M], tl.float32)
    sums, sums_tail = tl.zeros([M, HEAD], tl.float32), total
    if TAIL > 0:
        sums_tail = tl.zeros([M, TAIL], tl.float32)
    for row in range(SIDE):
        scores = _scores(query, query_tail, key, every_key, HEAD, TAIL) * scale + columns
        of_row = tl.load(by_row + row).to(tl.float32) * scale
        value = key + HEADS * DIM
        highest, total, sums, sums_tail = _weigh(
            scores, of_row, highest, total, sums, sums_tail, value, every_key, HEAD, TAIL
        )
        key += SIDE * stride
    pointers = out + (picture * tokens + token) * (HEADS * DIM) + head * DIM
    _write(pointers, sums, sums_tail, total, every_query, HEAD, TAIL)


@triton.jit
def _windows(
    qkv,
    products,
    out,
    width,
    scale,
    GRID: tl.constexpr,
    SIDE: tl.constexpr,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    M: tl.constexpr,
    N: tl.constexpr,
):
    """M queries of one head of one window against all keys of the window."""
    across: tl.constexpr = (GRID + SIDE - 1) // SIDE
    stride: tl.constexpr = 3 * HEADS * DIM
    tokens: tl.constexpr = GRID * GRID
    head, window = tl.program_id(1), tl.program_id(2)
    picture = (window // (across * across)).to(tl.int64)
    top, left = window // across % across * SIDE, window % across * SIDE
    wide = tl.minimum(SIDE, GRID - left)
    inside = wide * tl.minimum(SIDE, GRID - top)
    if tl.program_id(0) * M < inside:
        count = tl.num_programs(2) // (across * across) * tokens
        query_at = tl.program_id(0) * M + tl.arange(0, M)
        y, x, exists = query_at // wide, query_at % wide, query_at < inside
        token = picture * tokens + (top + y) * GRID + left + x
        pointers = qkv + token * stride + head * DIM
        query = _rows(pointers, exists, 0, HEAD)
        query_tail = query
        if TAIL > 0:
            query_tail = _rows(pointers, exists, HEAD, TAIL)
        channel = tl.arange(0, 2 * _CHANNELS)
        of_rows, key_at = channel < _CHANNELS, channel % _CHANNELS
        first = tl.where(of_rows[None, :], (SIDE - 1 - y)[:, None], (3 * SIDE - 2 - x)[:, None])
        position = products + (head.to(tl.int64) * count + token) * width
        known = exists[:, None] & (key_at < SIDE)[None, :]
        by_place = tl.load(position[:, None] + first + key_at[None, :], mask=known, other=0.0)
        scale = scale * _LOG2_E
        highest, total = tl.full([M], float("-inf"), tl.float32), tl.zeros([M], tl.float32)
        sums, sums_tail = tl.zeros([M, HEAD], tl.float32), total
        if TAIL > 0:
            sums_tail = tl.zeros([M, TAIL], tl.float32)
        for start in range(0, SIDE * SIDE, N):
            n = start + tl.arange(0, N)
            in_window, row, column = n < SIDE * SIDE, n // SIDE, n % SIDE
            in_picture = (top + row < GRID) & (left + column < GRID)
            at = tl.where(in_picture, picture * tokens + (top + row) * GRID + left + column, count)
            key = qkv + at.to(tl.int64) * stride + (HEADS + head) * DIM
            place = tl.where(of_rows[:, None], row[None, :], column[None, :])
            one_hot = tl.where(place == key_at[:, None], 1.0, 0.0).to(qkv.dtype.element_ty)
            scores = _scores(query, query_tail, key, in_window, HEAD, TAIL)
            scores = tl.dot(by_place, one_hot, scores) * scale
            scores = tl.where(in_window[None, :], scores, float("-inf"))
            value, nothing = key + HEADS * DIM, tl.zeros([M], tl.float32)
            highest, total, sums, sums_tail = _weigh(
                scores, nothing, highest, total, sums, sums_tail, value, in_window, HEAD, TAIL
            )
        _write(out + token * (HEADS * DIM) + head * DIM, sums, sums_tail, total, exists, HEAD, TAIL)
