"""Builds the `segment_anything` model of any architecture in the manifest: the PyTorch backend's network.

`segment_anything.build_sam` hard-codes three encoders and a 1024-pixel input; this is the same wiring with the numbers
taken from an `Architecture`.
"""

from functools import partial

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from segmentation.backends.pytorch.tiny_vit import TinyVit
from segmentation.weights.architecture import Architecture, TinyVitArchitecture, VitArchitecture


def build_image_encoder(architecture: Architecture) -> ImageEncoderViT | TinyVit:
    """The image encoder of an architecture, with random weights."""
    if isinstance(architecture, TinyVitArchitecture):
        return TinyVit(architecture)
    if isinstance(architecture, VitArchitecture):
        return build_vit(architecture)
    raise TypeError(f"no image encoder for {type(architecture).__name__}")


def build_vit(architecture: VitArchitecture) -> ImageEncoderViT:
    """SAM's ViT encoder with random weights."""
    return ImageEncoderViT(
        depth=architecture.depth,
        embed_dim=architecture.embed_dim,
        img_size=architecture.image_size,
        mlp_ratio=(architecture.hidden_dim + 0.5) / architecture.embed_dim,  # which is rounded down
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=architecture.num_heads,
        patch_size=architecture.patch_size,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=architecture.global_attn_indexes,
        window_size=architecture.window_size,
        out_chans=architecture.prompt_embed_dim,
    )


def build_prompt_encoder(architecture: Architecture) -> PromptEncoder:
    """SAM's prompt encoder with random weights."""
    side = architecture.embedding_side
    return PromptEncoder(
        embed_dim=architecture.prompt_embed_dim,
        image_embedding_size=(side, side),
        input_image_size=(architecture.image_size, architecture.image_size),
        mask_in_chans=16,
    )


def build_mask_decoder(architecture: Architecture) -> MaskDecoder:
    """SAM's mask decoder with random weights."""
    dim = architecture.prompt_embed_dim
    return MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(depth=2, embedding_dim=dim, mlp_dim=2048, num_heads=8),
        transformer_dim=dim,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )


def build_sam(architecture: Architecture) -> Sam:
    """The whole model with random weights, in eval mode; the state dict's keys are those of Meta's checkpoints."""
    sam = Sam(
        image_encoder=build_image_encoder(architecture),
        prompt_encoder=build_prompt_encoder(architecture),
        mask_decoder=build_mask_decoder(architecture),
        pixel_mean=list(architecture.pixel_mean),
        pixel_std=list(architecture.pixel_std),
    )
    return sam.eval()
