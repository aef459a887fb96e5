"""MobileSAM's image encoder: a TinyViT (Wu et al. 2022) with SAM's neck, by the names of MobileSAM's checkpoint.

The function of `mobile_sam.modeling.TinyViT` in evaluation. Batch norms are folded into the convolutions before them,
tensors lie channels last throughout, and attention is PyTorch's fused one. Knows no files and no numpy.
"""

from functools import cached_property

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from segmentation.backends.pytorch.normalise import Normalise
from segmentation.weights.architecture import TinyVitArchitecture

EXPANSION = 4
"""Hidden channels over channels, of convolution blocks and of MLPs."""

NORM_EPSILON = 1e-5
"""Of `torch.nn.LayerNorm` and `torch.nn.BatchNorm2d`."""


class TinyVit(nn.Module):
    """The network, ready to run once its weights are loaded; in evaluation only."""

    def __init__(self, architecture: TinyVitArchitecture) -> None:
        super().__init__()
        dims = architecture.embed_dims
        self.patch_embed = _PatchEmbed(dims[0])
        self.layers = nn.ModuleList([_ConvStage(dims[0], architecture.depths[0], dims[1])])
        for stage in range(1, 4):
            heads, window = architecture.num_heads[stage], architecture.window_sizes[stage]
            blocks = [_Block(dims[stage], heads, window) for _ in range(architecture.depths[stage])]
            # The last two stages have the same resolution.
            merging = _Merging(dims[stage], dims[stage + 1], 2 if stage == 1 else 1) if stage < 3 else None
            self.layers.append(_AttentionStage(blocks, merging))
        channels = architecture.prompt_embed_dim
        self.neck = nn.Sequential(
            nn.Conv2d(dims[3], channels, 1, bias=False),
            LayerNorm2d(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            LayerNorm2d(channels),
        )
        self.img_size = architecture.image_size  # what `Sam` asks its encoder for

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings float32 [B, C, h, w] of normalised pixels float32 [B, 3, S, S]."""
        planes = self.patch_embed(pixels.contiguous(memory_format=torch.channels_last))
        for layer in self.layers:
            planes = layer(planes)
        narrow, first, mix, last = self.neck
        planes = _norm_channels(narrow(planes), first)
        embeddings: Tensor = _norm_channels(mix(planes), last).contiguous()
        return embeddings


class TinyVitRunner:
    """The network with the pixels' normalisation in front, as `LeanViT`."""

    def __init__(self, network: TinyVit, architecture: TinyVitArchitecture) -> None:
        self._network = network
        self._normalise = Normalise(architecture, next(network.parameters()).device)

    def __call__(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Embeddings float32 [B, C, h, w] of pictures uint8 [B, S, S, 3] with sizes int64 [B, 2], on the device."""
        embeddings: Tensor = self._network(self._normalise(images, sizes).permute(0, 3, 1, 2))
        return embeddings


class _BatchNorm(nn.Module):
    """The numbers of a batch norm in evaluation."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))


class _ConvNorm(nn.Module):
    """A convolution and the batch norm behind it, as one convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = _BatchNorm(outputs)

    @cached_property
    def folded(self) -> tuple[Tensor, Tensor]:
        """(kernel, bias), made at the first call, when the weights are there."""
        scale = self.bn.weight / (self.bn.running_var + NORM_EPSILON).sqrt()
        kernel = (self.c.weight * scale[:, None, None, None]).detach()
        bias = (self.bn.bias - self.bn.running_mean * scale).detach()
        return kernel.contiguous(memory_format=torch.channels_last), bias

    def forward(self, planes: Tensor) -> Tensor:
        kernel, bias = self.folded
        return functional.conv2d(planes, kernel, bias, self.c.stride, self.c.padding, groups=self.c.groups)


class _PatchEmbed(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(_ConvNorm(3, channels // 2, 3, 2), nn.GELU(), _ConvNorm(channels // 2, channels, 3, 2))

    def forward(self, planes: Tensor) -> Tensor:
        made: Tensor = self.seq(planes)
        return made


class _ConvBlock(nn.Module):
    """`MBConv`: wider, depthwise, narrower."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = EXPANSION * channels
        self.conv1 = _ConvNorm(channels, hidden)
        self.conv2 = _ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = _ConvNorm(hidden, channels)

    def forward(self, planes: Tensor) -> Tensor:
        hidden = functional.gelu(self.conv2(functional.gelu(self.conv1(planes))))
        return functional.gelu(self.conv3(hidden).add_(planes))


class _Merging(nn.Module):
    """`PatchMerging`: to the next stage's channels and resolution."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(inputs, outputs)
        self.conv2 = _ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = _ConvNorm(outputs, outputs)

    def forward(self, planes: Tensor) -> Tensor:
        made: Tensor = self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(planes)))))
        return made


class _ConvStage(nn.Module):
    def __init__(self, channels: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_ConvBlock(channels) for _ in range(depth)])
        self.downsample = _Merging(channels, outputs, 2)

    def forward(self, planes: Tensor) -> Tensor:
        for block in self.blocks:
            planes = block(planes)
        made: Tensor = self.downsample(planes)
        return made


class _AttentionStage(nn.Module):
    def __init__(self, blocks: "list[_Block]", merging: _Merging | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = merging

    def forward(self, planes: Tensor) -> Tensor:
        for block in self.blocks:
            planes = block(planes)
        return planes if self.downsample is None else self.downsample(planes)


class _Attention(nn.Module):
    """Attention within windows of `window` cells a side, with a bias for each absolute offset."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))

    @cached_property
    def bias(self) -> Tensor:
        """[H, ww, ww], made at the first call, when the weights are there."""
        biases: Tensor = self.attention_biases.detach()[:, offsets(self.window)].contiguous()
        return biases

    def forward(self, windows: Tensor) -> Tensor:
        """[N, ww, E] -> [N, ww, E]."""
        joint = self.qkv(self.norm(windows)).unflatten(-1, (self.heads, 3, -1))
        query, key, value = joint.permute(3, 0, 2, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.bias)
        made: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return made


class _Mlp(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, EXPANSION * channels)
        self.fc2 = nn.Linear(EXPANSION * channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.fc2(functional.gelu(self.fc1(self.norm(tokens))))
        return made


class _Block(nn.Module):
    """Attention, a depthwise convolution, an MLP."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _Attention(channels, heads, window)
        self.local_conv = _ConvNorm(channels, channels, 3, groups=channels)
        self.mlp = _Mlp(channels)

    def forward(self, planes: Tensor) -> Tensor:
        tokens = planes.permute(0, 2, 3, 1)
        tokens = tokens + self._attend(tokens)
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        placed: Tensor = (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)
        return placed

    def _attend(self, tokens: Tensor) -> Tensor:
        """[B, h, h, E] -> [B, h, h, E], window by window."""
        batch, side, _, dim = tokens.shape
        window, padding = self.window, -side % self.window
        if padding:
            tokens = functional.pad(tokens, (0, 0, 0, padding, 0, padding))
        count = (side + padding) // window
        squares = tokens.reshape(batch, count, window, count, window, dim).transpose(2, 3).reshape(-1, window**2, dim)
        attended = self.attn(squares).view(batch, count, count, window, window, dim).transpose(2, 3)
        made: Tensor = attended.reshape(batch, side + padding, side + padding, dim)[:, :side, :side]
        return made


def offsets(window: int) -> Tensor:
    """int64 [ww, ww]: which bias the pair of a query cell and a key cell has, by their absolute distance in rows and
    columns.

    Numbered as TinyViT meets them: the first cell's offsets to all cells, row by row, are all there are.
    """
    line = torch.arange(window)
    distance = (line[:, None] - line[None]).abs()
    rows = distance[:, None, :, None].expand(window, window, window, window)
    columns = distance[None, :, None, :].expand(window, window, window, window)
    return (rows * window + columns).reshape(window**2, window**2)


def _norm_channels(planes: Tensor, norm: nn.Module) -> Tensor:
    """`LayerNorm2d` on planes [B, C, h, w] that lie channels last."""
    assert isinstance(norm, LayerNorm2d)
    tokens = functional.layer_norm(planes.permute(0, 2, 3, 1), planes.shape[1:2], norm.weight, norm.bias, norm.eps)
    return tokens.permute(0, 3, 1, 2)
