"""Whether a decoder works at all: what a health check asks when run after run failed."""

import numpy as np

from segmentation.backends.protocol import DecoderBackend
from segmentation.types import PromptTokens


def try_decoder(decoder: DecoderBackend) -> None:
    """Decodes one point on an empty picture.

    Raises:
        Exception: whatever the runtime raises if it is broken.
    """
    architecture = decoder.architecture
    middle = np.full((1, 2, 2), architecture.image_size / 2, np.float32)
    image = decoder.prepare(np.zeros(architecture.embedding_shape, np.float32))
    decoder.decode(image, PromptTokens(middle, np.array([[1, -1]], np.int64)))
