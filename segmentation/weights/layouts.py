"""The layouts in which people save the weights of a SAM, brought back to the names of Meta's checkpoints.

Works on names; a tensor is whatever `is_tensor` says, so that this file needs no runtime.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from segmentation.errors import ModelFileError
from segmentation.weights.identify import foreign_kind

T = TypeVar("T")

WRAPPERS = (
    "model", "state_dict", "model_state", "model_state_dict", "net", "network", "module", "sam", "weights", "params",
    "checkpoint", "student", "ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "teacher",
)  # fmt: skip
"""Keys under which training scripts keep a state dict, the likelier first: weights before their moving average."""

DEPTH = 3
"""Levels of nesting that are searched."""

PARTS = ("image_encoder.", "prompt_encoder.", "mask_decoder.")
_HF_ENCODER = "vision_encoder."
_SEGMENTS = ("_orig_mod", "module")
"""Parts of names that `torch.compile` and `DataParallel` add, also in the middle."""

_BUFFERS = ("pixel_mean", "pixel_std")
_UNUSED = re.compile(
    r"\.num_batches_tracked$|\.attention_bias_idxs$|\.attn\.ab$|^image_encoder\.(norm_head|head)\.(weight|bias)$"
)
"""Numbers that no output depends on: counters, tables of indices, MobileSAM's head for classes."""

_GAUSSIAN = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_HF_NAMES = (
    (r"^vision_encoder\.patch_embed\.projection\.", "image_encoder.patch_embed.proj."),
    (r"^vision_encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"image_encoder.blocks.\1.norm\2."),
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.neck\.conv1\.", "image_encoder.neck.0."),
    (r"^vision_encoder\.neck\.layer_norm1\.", "image_encoder.neck.1."),
    (r"^vision_encoder\.neck\.conv2\.", "image_encoder.neck.2."),
    (r"^vision_encoder\.neck\.layer_norm2\.", "image_encoder.neck.3."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding$", _GAUSSIAN),
    (r"^shared_image_embedding\.positional_embedding$", _GAUSSIAN),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"^prompt_encoder\.mask_embed\.layer_norm1\.", "prompt_encoder.mask_downscaling.1."),
    (r"^prompt_encoder\.mask_embed\.conv2\.", "prompt_encoder.mask_downscaling.3."),
    (r"^prompt_encoder\.mask_embed\.layer_norm2\.", "prompt_encoder.mask_downscaling.4."),
    (r"^prompt_encoder\.mask_embed\.conv3\.", "prompt_encoder.mask_downscaling.6."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
    (r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.proj_in\.", r"\1.layers.0."),
    (r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.layers\.0\.", r"\1.layers.1."),
    (r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.proj_out\.", r"\1.layers.2."),
    (r"^mask_decoder\.transformer\.layer_norm_final_attn\.", "mask_decoder.transformer.norm_final_attn."),
    (r"^(mask_decoder\.transformer\.layers\.\d+)\.layer_norm(\d)\.", r"\1.norm\2."),
)  # fmt: skip
"""Names in `transformers.SamModel` and in Meta's checkpoints, after `convert_sam_to_hf` of transformers; the first that
fits."""


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """The tensors of a SAM by Meta's names, and what was done to get them, one line each."""

    tensors: dict[str, T]
    notes: tuple[str, ...]


def read_layout(content: Any, is_tensor: Callable[[Any], bool], source: str) -> Layout[Any]:
    """The SAM in what a file held.

    Args:
        content: what the file held; a state dict, or a dict around one.
        is_tensor: tells tensors from everything else.
        source: what errors call the file.

    Raises:
        ModelFileError: there is no SAM 1 in it; names what it is where that is known.
    """
    candidates = list(_candidates(content, is_tensor, ()))
    if not candidates:
        raise ModelFileError(f"{source} holds no state dict: {_instead(content)}, not tensors by parameter name")
    complete = [found for found in candidates if _prefixes(found[1])]
    if not complete:
        path, names = max(candidates, key=lambda found: len(found[1]))
        raise ModelFileError(f"{source} {foreign_kind(_without_segments(names), whole=False)}")
    path, tensors = complete[0]
    notes = [f"took {'.'.join(path)} of {source}"] if path else []
    if others := [".".join(other) for other, _ in complete[1:]]:
        notes[-1:] = [f"took {'.'.join(path) or 'the outermost'} of {source}, not {', '.join(others)}"]
    return _renamed(tensors, notes, source)


def _candidates(
    content: Any, is_tensor: Callable[[Any], bool], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """(where it is, tensors by name) of every dict with tensors, the likelier first."""
    if not isinstance(content, Mapping):
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and is_tensor(value)}
    if tensors:
        yield path, tensors
    if len(path) == DEPTH:
        return
    inner = [name for name, value in content.items() if isinstance(name, str) and isinstance(value, Mapping)]
    ranks = {name: rank for rank, name in enumerate(WRAPPERS)}
    for name in sorted(inner, key=lambda name: ranks.get(name, len(ranks))):
        yield from _candidates(content[name], is_tensor, (*path, name))


def _prefixes(names: Mapping[str, Any]) -> list[str]:
    """The beginnings under which all three parts of a SAM stand, the shortest first."""
    found: dict[str, set[str]] = {}
    for name in names:
        plain = _without_segment(name)
        for part in (*PARTS, _HF_ENCODER):
            at = plain.find(part)
            if at >= 0 and (at == 0 or plain[at - 1] == "."):
                kind = "image_encoder." if part == _HF_ENCODER else part
                found.setdefault(plain[:at], set()).add(kind)
                break
    return sorted((prefix for prefix, parts in found.items() if len(parts) == len(PARTS)), key=len)


def _renamed(tensors: Mapping[str, Any], notes: list[str], source: str) -> Layout[Any]:
    plain = {name: _without_segment(name) for name in tensors}
    prefixes = _prefixes(tensors)
    prefix = _preferred(prefixes)
    stripped = sorted({f"{segment}." for name in tensors for segment in _SEGMENTS if segment in name.split(".")})
    stripped += [prefix] if prefix else []
    named = {
        old.removeprefix(prefix): value for name, value in tensors.items() if (old := plain[name]).startswith(prefix)
    }
    if stripped:
        notes.append(f"stripped {' and '.join(stripped)} from the names in {source}")
    if prefixes[1:]:
        notes.append(f"left out the second SAM under {', '.join(other for other in prefixes if other != prefix)}")
    if any(name.startswith(_HF_ENCODER) for name in named):
        notes.append(f"{source} has the names of Hugging Face's SamModel")
        named = {_meta_name(name): value for name, value in named.items()}
    kept = {name: value for name, value in named.items() if name.startswith(PARTS) and not _UNUSED.search(name)}
    if kind := foreign_kind(kept, whole=True):
        raise ModelFileError(f"{source} {kind}")
    beside = [name for name in named if not name.startswith((*PARTS, *_BUFFERS))]
    beside += [name for name in tensors if not plain[name].startswith(prefix)]
    if beside:
        few = sorted({name.split(".")[0] for name in beside})[:3]
        notes.append(f"left out {len(beside)} tensors beside the SAM ({', '.join(few)})")
    if any(name in _BUFFERS for name in named):
        notes.append("left out pixel_mean and pixel_std: the manifest's architecture has them")
    return Layout(kept, tuple(notes))


def _preferred(prefixes: Sequence[str]) -> str:
    """Of several SAMs in one dict, the one that is not a moving average."""
    averages = ("ema", "teacher", "target", "momentum")
    return next((prefix for prefix in prefixes if not any(word in prefix for word in averages)), prefixes[0])


def _without_segment(name: str) -> str:
    """The name without what `torch.compile` and `DataParallel` add."""
    return ".".join(part for part in name.split(".") if part not in _SEGMENTS)


def _without_segments(names: Mapping[str, Any]) -> dict[str, Any]:
    return {_without_segment(name): value for name, value in names.items()}


def _meta_name(name: str) -> str:
    for pattern, replacement in _HF_NAMES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def _instead(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"it is a {type(content).__name__}"
    if not content:
        return "it is an empty dict"
    name, value = next(iter(content.items()))
    return f"{name!r} is {type(value).__name__}"
