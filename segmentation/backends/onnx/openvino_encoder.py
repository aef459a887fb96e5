"""The image encoder on OpenVINO, for CPUs: runs the same file as ONNX Runtime. Needs openvino and numpy, no torch.

Opens files that `onnx.files` found whole; does not verify them again. Computes in the file's own precision: float32 in
float32, whatever the CPU could do faster, and bf16 in bf16. Of an int8 file, what is not int8 is computed in bf16 where
the CPU has units for it.
"""

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from segmentation.backends.onnx.session import check_finite
from segmentation.backends.precision import cpu_flags, runs
from segmentation.backends.protocol import RuntimeInfo
from segmentation.errors import ModelFileError
from segmentation.weights.architecture import Architecture

PROVIDER = "OpenVINO"


class OpenVinoEncoder:
    """The image encoder on OpenVINO's CPU plugin.

    Args:
        path: the encoder's ONNX file.
        architecture: of the model in it.
        threads: CPU threads of one call.
        precision: of the file: "fp32", "bf16" or "int8".

    Raises:
        ModelFileError: OpenVINO can't load the file.
    """

    def __init__(self, path: Path, architecture: Architecture, *, threads: int = 1, precision: str = "fp32") -> None:
        self.architecture = architecture
        self.runtime = RuntimeInfo(backend="onnx", device="cpu", providers=(PROVIDER,), precision=precision)
        in_bf16 = precision == "bf16" or (precision == "int8" and runs("onnx", "bf16", "cpu", cpu_flags()))
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # By default bf16 is computed where the CPU has units for it.
            "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 else "f32",
            # Replicas share a machine: pinned threads of two of them would sit on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        try:
            model = core.read_model(path)
            # One picture a call, so that every shape is known when kernels are chosen.
            model.reshape({name: [1, *shape] for name, shape in _shapes(architecture).items()})
            self._compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:  # OpenVINO raises nothing narrower
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise ModelFileError(f"OpenVINO can't load {path}: {first_line}") from error
        self._output = self._compiled.output(0)

    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Image embeddings, as `EncoderBackend.encode` describes: one picture after the other.

        Raises:
            NumericalError: an embedding is not finite.
        """
        embeddings = np.empty((len(images), *self.architecture.embedding_shape), np.float32)
        for index in range(len(images)):
            # A request of its own, so that calls of several threads don't share one.
            request = self._compiled.create_infer_request()
            given = {"images": images[index : index + 1], "sizes": np.ascontiguousarray(sizes[index : index + 1])}
            embeddings[index] = request.infer(given)[self._output][0]
        check_finite(embeddings, "an image embedding")
        return embeddings


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Shapes of the graph's inputs, without the number of pictures."""
    side = architecture.image_size
    return {"images": (side, side, 3), "sizes": (2,)}
