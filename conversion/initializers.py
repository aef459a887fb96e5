"""Where a graph's weights are kept: inside the ONNX file, or streamed to a data file beside it.

Knows tensors and bytes, not networks. Streaming keeps one weight in memory at a time, which is how `vit_h` is converted
in little memory; ONNX also can't hold more than 2 GiB in one file.
"""

import hashlib
from typing import BinaryIO, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

ALIGNMENT = 4096
"""Bytes; tensors in the data file begin on a page, so that ONNX Runtime can map them."""


class InitializerStore(Protocol):
    """Takes a graph's constants, one by one, in the order of the graph."""

    def put(self, name: str, array: NDArray[np.generic]) -> TensorProto:
        """The initializer of that name; `array` is not kept."""
        ...


class Embedded:
    """Keeps every tensor in the ONNX file."""

    def put(self, name: str, array: NDArray[np.generic]) -> TensorProto:
        return onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)


class External:
    """Streams tensors of at least a page to a data file; smaller ones stay in the ONNX file.

    file: an open binary file, written from its present position.
    location: the data file's name as the ONNX file will say it, relative to itself.
    sha256: of everything written so far.
    """

    def __init__(self, file: BinaryIO, location: str) -> None:
        self._file = file
        self._location = location
        self._digest = hashlib.sha256()
        self._size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def put(self, name: str, array: NDArray[np.generic]) -> TensorProto:
        if array.nbytes < ALIGNMENT:
            return onnx.numpy_helper.from_array(np.asarray(array, order="C"), name)
        self._write(bytes(-self._size % ALIGNMENT))
        offset = self._size
        self._write(np.asarray(array, order="C").reshape(-1).view(np.uint8).data)
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", self._location), ("offset", offset), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
