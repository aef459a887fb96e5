"""Marks tests that compute in a precision for which this CPU may have no units."""

import pytest

from segmentation.backends.precision import cpu_flags, runs

needs_int8 = pytest.mark.skipif(
    not runs("onnx", "int8", "cpu", cpu_flags()), reason="this CPU has no units for int8 products"
)
needs_bf16 = pytest.mark.skipif(
    not runs("onnx", "bf16", "cpu", cpu_flags()), reason="this CPU has no units for bf16 products"
)
