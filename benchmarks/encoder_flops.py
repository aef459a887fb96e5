"""Operations of SAM's image encoder: the floor of every encoder's time."""

from segmentation.weights.architecture import VitArchitecture


def linear_flops(architecture: VitArchitecture) -> float:
    """Of one picture's products with weights: blocks, patch embedding, neck."""
    tokens, dim = architecture.embedding_side**2, architecture.embed_dim
    blocks = architecture.depth * 12 * dim**2
    patches = 3 * architecture.patch_size**2 * dim
    neck = architecture.prompt_embed_dim * (dim + 9 * architecture.prompt_embed_dim)
    return 2.0 * tokens * (blocks + patches + neck)


def attention_flops(architecture: VitArchitecture) -> float:
    """Of one picture's products of queries, keys and values; without windows' padding and positions, which a faster
    method might do without."""
    tokens, dim = architecture.embedding_side**2, architecture.embed_dim
    whole = len(architecture.global_attn_indexes)
    keys = whole * tokens + (architecture.depth - whole) * min(tokens, architecture.window_size**2)
    return 2.0 * 2 * tokens * keys * dim
