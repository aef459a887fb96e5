"""What the analysis needs of a picture, as protocols: whoever decodes pictures provides them."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class StoredPicture(Protocol):
    """The samples of a picture as they are stored, upright."""

    @property
    def samples(self) -> NDArray[Any]:
        """[H, W] or [H, W, C], any integer or float type."""
        ...

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """bool [H, W], False where a sample means nothing (nodata, NaN); None: all are valid."""
        ...
