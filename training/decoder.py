"""SAM's mask decoder's forward pass for training: the same function, for many prompts on each of several pictures.

Image tokens stay [n, cells, channels] from end to end, which saves most of the copying.
"""

import torch
from segment_anything.modeling import MaskDecoder, Sam, TwoWayTransformer
from segment_anything.modeling.transformer import Attention
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

from training.network import Frame


def decode(sam: Sam, embeddings: Tensor, sparse: Tensor, logits: Tensor | None, frame: Frame) -> tuple[Tensor, Tensor]:
    """What `MaskDecoder.predict_masks` does, for n / b prompts on each of b pictures.

    `embeddings` [b, 256, side, side], `sparse` [n, tokens, 256], `logits` None or [n, 1, 4 side, 4 side].
    Returns low-res logits [n, 4, 4 side, 4 side] and predicted IoU [n, 4]; the first mask is the single one.
    """
    decoder, prompt_encoder = sam.mask_decoder, sam.prompt_encoder
    count = len(sparse)
    if logits is None:
        dense = prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    else:
        dense = prompt_encoder.mask_downscaling(logits)
    image = embeddings.repeat_interleave(count // len(embeddings), dim=0) + dense.to(embeddings.dtype)
    keys = image.flatten(2).transpose(1, 2).contiguous()
    rows, columns = slice(frame.top, frame.top + frame.side), slice(frame.left, frame.left + frame.side)
    with torch.autocast(sam.device.type, enabled=False):
        positions = prompt_encoder.get_dense_pe()[:, :, rows, columns].flatten(2).transpose(1, 2)
    outputs = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight], dim=0)
    tokens = torch.cat([outputs.expand(count, -1, -1), sparse], dim=1)
    hidden, keys = _two_way(decoder.transformer, keys, positions.to(keys.dtype), tokens)
    weights = torch.stack([mlp(hidden[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1)
    return _mask_logits(decoder, keys, weights, frame.side), decoder.iou_prediction_head(hidden[:, 0])


def _mask_logits(decoder: MaskDecoder, keys: Tensor, weights: Tensor, side: int) -> Tensor:
    """`output_upscaling` of image tokens [n, side * side, 256], times `weights` [n, m, 32]: [n, m, 4 side, 4 side].

    The transposed convolutions don't overlap, so each is a product per token; nothing is moved before masks are made.
    """
    first, norm, _, second, _ = decoder.output_upscaling
    fine = linear(keys, first.weight.permute(2, 3, 1, 0).flatten(0, 2), first.bias.repeat(4)).unflatten(2, (4, -1))
    fine = gelu(layer_norm(fine, norm.weight.shape, norm.weight, norm.bias, norm.eps))
    finer = gelu(linear(fine, second.weight.permute(2, 3, 1, 0).flatten(0, 2), second.bias.repeat(4)))
    finer = finer.unflatten(3, (4, -1)).flatten(1, 3)
    masks = weights.to(finer.dtype) @ finer.transpose(1, 2)
    masks = masks.unflatten(2, (side, side, 2, 2, 2, 2))
    return masks.permute(0, 1, 2, 4, 6, 3, 5, 7).flatten(5, 7).flatten(2, 4)


def _two_way(transformer: TwoWayTransformer, keys: Tensor, positions: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """`TwoWayTransformer.forward` on image tokens `keys` [n, cells, 256] with positions [1, cells, 256]."""
    queries = tokens
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(queries, queries, queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(placed, placed, queries)
        queries = layer.norm1(queries)
        queries = queries + _look(layer.cross_attn_token_to_image, queries + tokens, keys, positions)
        queries = layer.norm2(queries)
        queries = layer.norm3(queries + layer.mlp(queries))
        told = _tell(layer.cross_attn_image_to_token, keys, positions, queries + tokens, queries)
        keys = layer.norm4(keys + told)
    look = _look(transformer.final_attn_token_to_image, queries + tokens, keys, positions)
    return transformer.norm_final_attn(queries + look), keys


def _look(attention: Attention, queries: Tensor, keys: Tensor, positions: Tensor) -> Tensor:
    """Tokens attend to the image. Key and value weights are multiplied into the few tokens, not into the image."""
    q = _heads(attention.q_proj(queries), attention)
    scores = _scores(q, attention.k_proj.weight, keys, positions)
    mixed = (_softmax(scores, -1) @ keys).unflatten(1, (attention.num_heads, -1))
    values = mixed @ _by_head(attention.v_proj.weight, attention).transpose(1, 2)
    return attention.out_proj(values.transpose(1, 2).flatten(2) + attention.v_proj.bias)


def _tell(attention: Attention, keys: Tensor, positions: Tensor, placed: Tensor, queries: Tensor) -> Tensor:
    """The image attends to tokens (`placed` are `queries` with their positions), folded in the same way."""
    heads = attention.num_heads
    k = _heads(attention.k_proj(placed), attention)
    bias = (k @ attention.q_proj.bias.to(k.dtype).unflatten(0, (heads, -1))[..., None]).flatten(1, 2)
    scores = _scores(k, attention.q_proj.weight, keys, positions) + bias
    weights = _softmax(scores.unflatten(1, (heads, -1)), 2).flatten(1, 2)
    v = attention.v_proj(queries).unflatten(2, (heads, -1)).transpose(1, 2)
    values = (v @ _by_head(attention.out_proj.weight.T, attention)).flatten(1, 2)
    return weights.transpose(1, 2) @ values + attention.out_proj.bias.to(values.dtype)


def _heads(projected: Tensor, attention: Attention) -> Tensor:
    """From [n, tokens, width] to [n, heads, tokens, depth], scaled for attention."""
    split = projected.unflatten(2, (attention.num_heads, -1)).transpose(1, 2)
    return split * split.shape[-1] ** -0.5


def _by_head(weight: Tensor, attention: Attention) -> Tensor:
    """Projection weights [width, channels] as [heads, depth, channels]."""
    return weight.unflatten(0, (attention.num_heads, -1))


def _scores(small: Tensor, weight: Tensor, keys: Tensor, positions: Tensor) -> Tensor:
    """`small` [n, heads, tokens, depth] against projected image tokens: [n, heads * tokens, cells]."""
    folded = (small @ weight.unflatten(0, (small.shape[1], -1)).to(small.dtype)).flatten(1, 2)
    return torch.baddbmm(folded @ positions[0].T, folded, keys.transpose(1, 2))


def _softmax(scores: Tensor, dim: int) -> Tensor:
    """Without autocast's detour over float32; the kernel itself sums in float32."""
    with torch.autocast(scores.device.type, enabled=False):
        return scores.softmax(dim)
