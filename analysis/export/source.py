"""What an export says of the picture, and needs of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Source:
    """The picture behind an analysis.

    name: as it stands in the files; never part of a path.
    pixels: uint8 [H, W, 3], RGB, the picture as the model saw it; for `overlay` and `archive` only.
    settings: what else made the result: model, automatic parameters, how the picture was read.
    """

    name: str = "picture"
    pixels: NDArray[np.uint8] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
