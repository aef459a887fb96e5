"""The quality of what was converted: measured, said, and written where no file carries it."""

from collections.abc import Callable, Iterable
from pathlib import Path

from segment_anything.modeling import Sam

from conversion.quality import measure
from conversion.reference import build_reference
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.files import pair_paths
from segmentation.backends.precision import cpu_flags, runs
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.pytorch.backend import PyTorchEncoder
from segmentation.backends.pytorch.checkpoint import fit
from segmentation.backends.quality import LEAST_MASK_IOU, Quality, record_path, write_record
from segmentation.backends.select import is_installed
from segmentation.cpus import usable_cpus
from segmentation.errors import NumericalError
from segmentation.weights.architecture import Architecture
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.manifest import ModelEntry
from segmentation.weights.tensors import read_checkpoint

Say = Callable[[str], None]


class ParityError(Exception):
    """The converted model does not compute what PyTorch computes."""


def measure_bf16(
    checkpoint: Path,
    entry: ModelEntry,
    onnx_dir: Path,
    *,
    say: Say = print,
    flags: Callable[[], frozenset[str] | None] = cpu_flags,
    known: Iterable[ModelEntry] = (),
) -> None:
    """Measures the quality of bf16, which has no files of its own, and writes its records.

    PyTorch computes it from the checkpoint, OpenVINO from the float32 pair. Arguments and errors as
    `conversion.convert_to_onnx.convert`.
    """
    state = read_checkpoint(checkpoint).state
    spec, source, threads = fit(entry, state, str(checkpoint), known), sha256_file(checkpoint), usable_cpus()
    sam = build_reference(spec.architecture, state, checkpoint)
    encoders: dict[str, Callable[[], EncoderBackend]] = {
        "pytorch": lambda: PyTorchEncoder(checkpoint, spec.architecture, threads=threads, precision="bf16"),
        "openvino": lambda: open_converted(
            pair_paths(onnx_dir, spec.name)[0], spec.architecture, threads=threads, precision="bf16"
        ),
    }
    if lacking := _lacks_for_bf16(flags):
        say(f"bf16 on OpenVINO is not measured, {lacking}")
        del encoders["openvino"]
    decoder = OnnxDecoder(pair_paths(onnx_dir, spec.name)[1], spec.architecture, threads=threads)
    for runtime, opened in encoders.items():
        path = record_path(onnx_dir, spec.name, "bf16", runtime)
        say(f"bf16 on {runtime}")
        write_record(path, measured(opened(), decoder, sam, say), source)
        say(f"wrote {path}")


def open_converted(path: Path, architecture: Architecture, *, threads: int, precision: str) -> EncoderBackend:
    """A converted encoder on the runtime that computes it fastest, and least exactly, on this CPU."""
    if precision == "bf16" or (precision == "int8" and is_installed("openvino")):
        from segmentation.backends.onnx.openvino_encoder import OpenVinoEncoder  # noqa: PLC0415  (optional)

        return OpenVinoEncoder(path, architecture, threads=threads, precision=precision)
    return OnnxEncoder(path, architecture, threads=threads, precision=precision)


def measured(encoder: EncoderBackend, decoder: DecoderBackend, sam: Sam, say: Say) -> Quality:
    """The quality of an encoder, which is also said.

    Raises:
        ParityError: it computes nothing usable.
    """
    say("measuring the quality against PyTorch in float32")
    try:
        quality = measure(encoder, decoder, sam)
    except NumericalError as error:
        raise ParityError(f"{error.message}; the converted model was discarded") from error
    say(f"  {quality}, over {quality.masks} masks of {quality.pictures}")
    if not quality.is_good:
        say(f"  mask IoU is below {LEAST_MASK_IOU}: SAM_PRECISION=auto won't take it")
    return quality


def _lacks_for_bf16(flags: Callable[[], frozenset[str] | None]) -> str:
    """Why the quality of bf16 on OpenVINO can't be measured here; empty if it can."""
    if not runs("onnx", "bf16", "cpu", flags()):
        return "as this CPU has no AVX512-BF16 or AMX"
    return "" if is_installed("openvino") else "as openvino is not installed: install the extra 'cpu'"
