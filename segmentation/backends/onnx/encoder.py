"""The image encoder on ONNX Runtime. Needs onnxruntime and numpy, no torch.

Opens files that `onnx_files` found whole; does not verify them again.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.onnx.session import check_finite, open_session, runtime_info
from segmentation.weights.architecture import Architecture


class OnnxEncoder:
    """The image encoder on ONNX Runtime.

    Args:
        path: the encoder's ONNX file.
        architecture: of the model in it.
        device: "cpu" or "cuda".
        threads: CPU threads of one call.
        precision: of the file, for `runtime`.

    Raises:
        ConfigurationError: the device can't be used.
        ModelFileError: ONNX Runtime can't load the file.
    """

    def __init__(
        self, path: Path, architecture: Architecture, *, device: str = "cpu", threads: int = 1, precision: str = "fp32"
    ) -> None:
        self.architecture = architecture
        # A plan saves a CPU no time that can be measured here, and keeps 200 MB of `vit_b`, 300 MB of `vit_h`.
        self._session = open_session(path, device, threads, plans_memory=device != "cpu")
        self.runtime = runtime_info(self._session, precision)

    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Image embeddings, as `EncoderBackend.encode` describes.

        On a CPU one picture runs at a time: a batch would only need more memory, and alone each picture's embedding is
        the same to the last bit.

        Raises:
            NumericalError: an embedding is not finite.
        """
        step = len(images) if self.runtime.device == "cuda" else 1
        parts = [
            self._session.run(None, {"images": images[at : at + step], "sizes": sizes[at : at + step]})[0]
            for at in range(0, len(images), max(step, 1))
        ]
        if not parts:
            return np.zeros((0, *self.architecture.embedding_shape), np.float32)
        embeddings: NDArray[np.float32] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        check_finite(embeddings, "an image embedding")
        return embeddings
