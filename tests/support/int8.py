"""Marks tests that compute in int8, which x86 CPUs without VNNI and AMX do wrong."""

import pytest

from segmentation.backends.precision import cpu_flags, runs

needs_int8 = pytest.mark.skipif(
    not runs("onnx", "int8", "cpu", cpu_flags()), reason="this CPU has no units for int8 products"
)
