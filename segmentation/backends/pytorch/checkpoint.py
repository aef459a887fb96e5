"""Whether a checkpoint file is the model that an entry of the manifest names: all that a replica would find, before."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.errors import ModelFileError
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import ModelEntry, ModelSpec, with_architecture
from segmentation.weights.shapes import architecture_of, describe, same_network
from segmentation.weights.tensors import read_checkpoint, refuse_misfit


def inspect_checkpoint(
    path: Path, entry: ModelEntry, known: Iterable[ModelEntry] = ()
) -> tuple[ModelSpec, tuple[str, ...]]:
    """The entry with its architecture, and what was done to read the file, one line each.

    Args:
        path: the file.
        entry: whose it should be; without an architecture it gets the one that the shapes tell.
        known: entries that may be named in the error, if it is another's.

    Raises:
        ModelFileError: a replica could not load the file.
    """
    checkpoint = read_checkpoint(path)
    spec = fit(entry, checkpoint.state, str(path), known)
    return spec, checkpoint.notes


def fit(
    entry: ModelEntry, state: Mapping[str, torch.Tensor], source: str, known: Iterable[ModelEntry] = ()
) -> ModelSpec:
    """The entry with the architecture of these weights.

    Raises:
        ModelFileError: they are another architecture's than the entry says, or none that can be run.
    """
    found = architecture_of({name: tuple(tensor.shape) for name, tensor in state.items()})
    wanted = entry.architecture or found
    if wanted is None:
        raise ModelFileError(f"{source} has shapes that no SAM 1 and no MobileSAM has")
    if found is not None and not same_network(found, wanted):
        whose = next((other.name for other in known if _is(other, found)), None)
        these = f"these are {whose}'s shapes" if whose else f"these are the shapes of another SAM ({describe(found)})"
        raise ModelFileError(f"{source} is not {entry.name} ({describe(wanted)}): {these}")
    with torch.device("meta"):
        network = build_sam(wanted)
    refuse_misfit(network.state_dict(), state, source)
    return with_architecture(entry, wanted)


def _is(entry: ModelEntry, found: Architecture) -> bool:
    return entry.architecture is not None and same_network(entry.architecture, found)
