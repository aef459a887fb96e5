"""ONNX Runtime sessions as both halves of the backend open them: providers, threads, memory.

Knows files and devices, not what is in the graphs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from segmentation.backends.protocol import RuntimeInfo
from segmentation.errors import ConfigurationError, ModelFileError, NumericalError

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"


def open_session(
    path: Path, device: str, threads: int, *, spinning: bool = False, plans_memory: bool = True
) -> onnxruntime.InferenceSession:
    """A session on one device.

    Args:
        path: an ONNX file.
        device: "cpu" or "cuda".
        threads: CPU threads of one run.
        spinning: whether threads wait busily for each other within a run.
        plans_memory: whether later runs of a shape take their memory as one block, which is planned in the first. It
            lies beside the memory of the first run.

    Raises:
        ConfigurationError: the device can't be used.
        ModelFileError: ONNX Runtime can't load the file.
    """
    providers = _providers(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle replicas share cores with busy ones, so threads don't spin between runs. Within a run of many small operators
    # they may: a single prompt takes a fifth less time.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_mem_pattern = plans_memory
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions have no public base
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError(f"ONNX Runtime can't load {path}: {first_line}") from error
    if device == "cuda" and _CUDA not in session.get_providers():
        raise ConfigurationError("ONNX Runtime fell back to the CPU: check nvidia-smi, or set SAM_USE_GPU=false")
    return session


def _providers(device: str) -> list[tuple[str, dict[str, str]]]:
    """Execution providers for a device, in order. The list of available ones can only rule out: it names CUDA on
    machines without a GPU, too.
    """
    if device == "cpu":
        return [(_CPU, {})]
    if _CUDA not in onnxruntime.get_available_providers():
        raise ConfigurationError(
            "this ONNX Runtime can't use a GPU: install the extra 'gpu' instead of 'cpu', or set SAM_USE_GPU=false"
        )
    onnxruntime.preload_dlls()
    # Grow by what is asked for, not by powers of two: encoders ask for gigabytes.
    return [(_CUDA, {"arena_extend_strategy": "kSameAsRequested"}), (_CPU, {})]


def runtime_info(session: onnxruntime.InferenceSession, precision: str) -> RuntimeInfo:
    """What a session really runs on."""
    providers = tuple(session.get_providers())
    device = "cuda" if _CUDA in providers else "cpu"
    return RuntimeInfo(backend="onnx", device=device, providers=providers, precision=precision)


def run_on_device(
    session: onnxruntime.InferenceSession,
    device: str,
    outputs: Sequence[str],
    inputs: Mapping[str, NDArray[np.generic] | onnxruntime.OrtValue],
) -> list[onnxruntime.OrtValue]:
    """As the session's `run`, but outputs stay where they were made; an input may be one of them."""
    binding = session.io_binding()
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            binding.bind_cpu_input(name, np.ascontiguousarray(value))
        else:
            binding.bind_ortvalue_input(name, value)
    for name in outputs:
        binding.bind_output(name, device)
    session.run_with_iobinding(binding)
    made: list[onnxruntime.OrtValue] = binding.get_outputs()
    return made


def check_finite(values: NDArray[np.float32], what: str) -> None:
    """Raises NumericalError, naming `what`, unless all values are finite. A sum is finite only if every term is."""
    if not np.isfinite(values.sum(dtype=np.float32)):
        raise NumericalError(f"{what} is not finite: the weights or the runtime are broken")
