"""Attention with SAM's decomposed relative position, without ever holding the scores of a whole picture.

Two ways to the same numbers, both on `torch.nn.functional.scaled_dot_product_attention`:

- `folded`: the position becomes part of the query-key product. Queries get their products with the position tables as
  further channels, keys get one-hot rows. Fused kernels need nothing else, on a CPU and on a GPU; further channels are
  cheap where matrix units are (bf16, fp16).
- `masked`: the position is added to the scores as a mask, made for a few queries at a time so that it stays in the
  cache. For arithmetic in which channels are dear: fp32 on a CPU.

Knows no weights but the position tables, and no blocks.
"""

import torch
from torch.nn import functional

CHANNELS = 32
"""Folded channels are filled up to a multiple of this: 92 were measured a quarter slower than 96 in bf16."""

MASK_ELEMENTS = 2**21
"""Of one run of `masked` (8 MB in fp32)."""


Workspace = dict[tuple[int, ...], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""Folded queries, keys and values by their shape. Fresh memory costs a page fault every 4 KB, which took a tenth of the
time; the one-hot rows and the zeros stay.
"""


class RelativePosition:
    """The position tables of one attention layer (`add_decomposed_rel_pos` of segment-anything), as products want them.

    Args:
        rows, columns: [2s - 1, d], `rel_pos_h` and `rel_pos_w` of the layer.
        side: s, of the square of tokens that attend to each other.
        dtype: of the arithmetic.
        folded: whether for `folded`, whose products are scaled by d**-0.5 afterwards, or for `masked`.
    """

    def __init__(
        self, rows: torch.Tensor, columns: torch.Tensor, side: int, *, dtype: torch.dtype, folded: bool
    ) -> None:
        self.side = side
        self.head_dim = rows.shape[1]
        self.scale = self.head_dim**-0.5
        # Offsets upside down: the products of query y then hold those with keys 0, 1, ... side by side.
        table = torch.cat([rows.float().flip(0), columns.float().flip(0)]).T
        self._table = (table / self.scale if folded else table).to(dtype).contiguous()
        self._one_hot = _one_hot(side, -(self.head_dim + 2 * side) % CHANNELS, self._table) if folded else None

    def attend(self, qkv: torch.Tensor, workspace: Workspace) -> torch.Tensor:
        """Multi-head attention of squares of tokens.

        Args:
            qkv: [N, ss, 3, H, d], query, key and value of N squares of s x s tokens, row by row.
            workspace: empty at first; memory for the next layers of the same call.

        Returns:
            [N, ss, H * d], in the dtype of `qkv`.
        """
        attended = self._masked(qkv) if self._one_hot is None else self._folded(qkv, self._one_hot, workspace)
        return attended.flatten(2)

    def _products(self, queries: torch.Tensor, shape: torch.Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Products of queries [N * ss * H, d] with the tables: by key row and by key column, views [N, s, s, H, s].

        One product with all 2s - 1 offsets instead of one for each query position; the view then begins one element
        earlier with every row (column) of queries.
        """
        count, heads, side = shape[0], shape[3], self.side
        products = queries @ self._table
        width = products.shape[1]
        token = heads * width
        strides = (side * side * token, side * token, token, width, 1)
        size = (count, side, side, heads, side)
        rows = products.as_strided(size, (strides[0], strides[1] - 1, *strides[2:]), side - 1)
        columns = products.as_strided(size, (*strides[:2], strides[2] - 1, *strides[3:]), 3 * side - 2)
        return rows, columns

    def _folded(self, qkv: torch.Tensor, one_hot: torch.Tensor, workspace: Workspace) -> torch.Tensor:
        count, tokens, _, heads, dim = qkv.shape
        side, width = self.side, dim + one_hot.shape[-1]
        shape = (count, tokens, heads, width)
        if shape not in workspace:
            # Fused kernels want as many channels in values as in keys.
            query, key, value = (qkv.new_zeros(shape) for _ in range(3))
            key[..., dim:] = one_hot
            workspace[shape] = query, key, value
        query, key, value = workspace[shape]
        for wide, narrow in zip((query, key, value), qkv.unbind(2), strict=True):
            wide[..., :dim] = narrow
        rows, columns = self._products(query.view(-1, width)[:, :dim], qkv.shape)
        grid = query.view(count, side, side, heads, width)
        grid[..., dim : dim + side] = rows
        grid[..., dim + side : dim + 2 * side] = columns
        attended = functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), scale=self.scale
        )
        return attended[..., :dim].transpose(1, 2)

    def _masked(self, qkv: torch.Tensor) -> torch.Tensor:
        count, tokens, _, heads, dim = qkv.shape
        side = self.side
        rows, columns = self._products(qkv[:, :, 0].reshape(-1, dim), qkv.shape)
        rows, columns = (part.permute(0, 3, 1, 2, 4) for part in (rows, columns))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = qkv.new_empty(count, tokens, heads, dim)
        heads_per_run = min(heads, max(1, MASK_ELEMENTS // tokens**2))
        rows_per_run = min(side, max(1, MASK_ELEMENTS // (heads_per_run * side * tokens)))
        memory = qkv.new_empty(heads_per_run * rows_per_run * side * tokens)
        for at in range(count):
            for head in range(0, heads, heads_per_run):
                of_heads = slice(head, head + heads_per_run)
                for top in range(0, side, rows_per_run):
                    of_rows, part = slice(top, top + rows_per_run), slice(top * side, (top + rows_per_run) * side)
                    by_row = rows[at, of_heads, of_rows, :, :, None]
                    shape = (*by_row.shape[:4], side)
                    mask = memory[: by_row.numel() * side].view(shape)
                    torch.add(by_row, columns[at, of_heads, of_rows, :, None], out=mask)
                    attended[at, part, of_heads] = functional.scaled_dot_product_attention(
                        query[at, None, of_heads, part],
                        key[at, None, of_heads],
                        value[at, None, of_heads],
                        attn_mask=mask.view(1, shape[0], -1, tokens),
                        scale=self.scale,
                    )[0].transpose(0, 1)
        return attended


def _one_hot(side: int, padding: int, like: torch.Tensor) -> torch.Tensor:
    """[ss, 1, 2s + padding]: the row and the column of each key."""
    one = torch.eye(side, dtype=like.dtype, device=like.device)
    hot = torch.cat([one.repeat_interleave(side, 0), one.repeat(side, 1)], 1)
    return functional.pad(hot, (0, padding))[:, None]
