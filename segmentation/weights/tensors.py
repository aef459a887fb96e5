"""Checkpoint files as tensors: reads PyTorch files and safetensors without executing anything, and fills modules
strictly.

Knows no architecture: which keys a model has is asked of the module.
"""

import logging
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from segmentation.errors import ModelFileError
from segmentation.weights.file_kinds import PYTORCH_ZIP, SAFETENSORS, kind_of
from segmentation.weights.layouts import read_layout

logger = logging.getLogger(__name__)

NAMED = 3
"""How many keys an error names before it only counts."""

_DAMAGED = "is damaged or not a PyTorch checkpoint; delete it or put the right file there"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A SAM's tensors on the CPU by the names of Meta's checkpoints, and what was done to get them, one line each."""

    state: dict[str, torch.Tensor]
    notes: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self.state.items()}


def read_checkpoint(path: Path) -> Checkpoint:
    """The SAM in a file that `torch.save` wrote, or in safetensors; in any layout that `segmentation.weights.layouts`
    knows.

    Tensors keep the file's dtype; they are mapped where the format allows, so unused ones cost no memory.

    Raises:
        ModelFileError: the file is missing, truncated, of another kind, or holds no SAM 1. No pickled code is ever
            executed.
    """
    layout = read_layout(read_tensors(path), lambda value: isinstance(value, torch.Tensor), str(path))
    return Checkpoint(layout.tensors, layout.notes)


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of `read_checkpoint`, whose notes are logged."""
    checkpoint = read_checkpoint(path)
    for note in checkpoint.notes:
        logger.info("%s", note)
    return checkpoint.state


def read_tensors(path: Path) -> Any:
    """What a checkpoint file holds, as it was saved: as a rule a dict.

    Raises:
        ModelFileError: as `read_checkpoint`, whatever the tensors are.
    """
    kind = kind_of(path)
    if kind == SAFETENSORS:
        return _read_safetensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=kind == PYTORCH_ZIP)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|Unsupported (?:class|operand))\s+([\w.]+)", str(error))
        what = f" ({found[1]})" if found else ""
        raise ModelFileError(
            f"{path} is not a PyTorch checkpoint, or holds objects other than tensors{what}, which are not loaded; "
            "save the weights alone: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # a damaged file surfaces from torch as almost any type
        raise ModelFileError(f"{path} {_DAMAGED}") from error


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        # Checks the header's length and that tensors neither overlap nor leave gaps, before anything is read.
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a handle, not a dict)
    except SafetensorError as error:
        raise ModelFileError(f"{path} is a damaged safetensors file: {error}; put the right file there") from error
    except Exception as error:  # a dtype that torch does not have, a file that shrinks
        raise ModelFileError(f"{path} can't be read as safetensors: {error}; put the right file there") from error


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
    refuse_misfit(wanted, given, source)
    module.load_state_dict(given, strict=True)


def refuse_misfit(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], source: str) -> None:
    """Raises ModelFileError, which names the first few, unless both have the same names and shapes."""
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


def _few(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
