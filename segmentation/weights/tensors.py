"""Checkpoint files as tensors: reads PyTorch files without executing pickles, and fills modules strictly.

Knows no architecture: which keys a model has is asked of the module.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segmentation.errors import ModelFileError

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which training scripts keep the state dict beside the optimiser's and the epoch."""

NAMED = 3
"""How many keys an error names before it only counts."""


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that `torch.save` wrote, by parameter name, on the CPU.

    The file is a state dict, or a dict that holds one under `model`, `state_dict` or `model_state_dict`. Tensors keep
    the file's dtype; of files in the present (zip) format they are mapped, not read, so unused ones cost no memory.

    Raises:
        ModelFileError: the file is missing, truncated, of another kind, or holds anything but tensors. No pickled code
            is ever executed.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise ModelFileError(f"can't read {path}: {error.strerror or error}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path} is not a PyTorch checkpoint, or holds objects other than tensors, which are not loaded; "
            "save the weights alone: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # a damaged file surfaces from torch as almost any type
        raise ModelFileError(
            f"{path} is damaged or not a PyTorch checkpoint; delete it or put the right file there"
        ) from error
    return _state_of(content, path)


def load_into(module: torch.nn.Module, state: Mapping[str, torch.Tensor], *, prefix: str = "", source: str) -> None:
    """Copies tensors into a module's parameters and buffers, which keep their dtype: fp16 weights fill an fp32 module.

    Args:
        module: any module, on any device.
        state: tensors by name, as from `load_state_dict`.
        prefix: take only the tensors whose name begins so, without it: "mask_decoder." for a mask decoder alone.
        source: what the error calls the weights, a file name as a rule.

    Raises:
        ModelFileError: a tensor is missing, left over or of another shape; names the first few. The module is left as
            it was.
    """
    given = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    wanted = module.state_dict()
    complaints = (
        ("missing", [name for name in wanted if name not in given]),
        ("unexpected", [name for name in given if name not in wanted]),
        (
            "of another shape",
            [
                f"{name} {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
                for name, tensor in wanted.items()
                if name in given and given[name].shape != tensor.shape
            ],
        ),
    )
    found = [f"{len(names)} {kind} ({_few(names)})" for kind, names in complaints if names]
    if found:
        raise ModelFileError(f"{source} does not fit the architecture of this model type: tensors {'; '.join(found)}")
    module.load_state_dict(given, strict=True)


def _state_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not content:
        raise ModelFileError(f"{path} holds no state dict: a dict of tensors by parameter name")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelFileError(f"{path} holds no state dict: {name!r} is {type(value).__name__}, not a tensor")
    return dict(content)


def _few(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
