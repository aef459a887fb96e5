"""A checkpoint's tensors as numpy arrays, by their names in `segment_anything`. Knows no graphs."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray


class Weights:
    """A view of a state dict below a prefix; `weights["norm1.weight"]`.

    Arrays are float16 where the checkpoint is, else float32, and share memory with mapped tensors where they can.
    """

    def __init__(self, state: Mapping[str, torch.Tensor], prefix: str = "") -> None:
        self._state = state
        self.prefix = prefix

    def below(self, prefix: str) -> "Weights":
        """The tensors under `prefix.`."""
        return Weights(self._state, f"{self.prefix}{prefix}.")

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        tensor = self._state[self.prefix + name].detach()
        return tensor.numpy() if tensor.dtype == torch.float16 else tensor.float().numpy()

    def exact(self, name: str) -> NDArray[np.float64]:
        """In float64, for weights that are folded before they are stored."""
        return self[name].astype(np.float64)
