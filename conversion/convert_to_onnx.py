"""Converts a checkpoint file to the ONNX pair that the server runs, and checks it against PyTorch.

    python -m conversion.convert_to_onnx --checkpoint FILE --model-type T [--output-dir DIR] [--precision P] [--force]
        [--also stock-decoder]

Exit status: 0 when the pair is in place, 1 when it differs from PyTorch, 2 when the input can't be converted.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from conversion.measured import ParityError, Say, measure_bf16, measured, open_converted
from conversion.pair import Source, write_pair
from conversion.reference import build_reference
from conversion.stock_decoder import PROMPTS, failures, write_stock_decoder
from conversion.verify import TOLERANCE, Finding, compare
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.files import OnnxPair, pair_paths, read_metadata, verify_pair
from segmentation.backends.precision import cpu_flags, runs
from segmentation.backends.pytorch.checkpoint import fit
from segmentation.backends.quality import to_metadata
from segmentation.backends.select import models_of
from segmentation.cpus import usable_cpus
from segmentation.errors import ConfigurationError, ModelFileError
from segmentation.settings import RuntimeSettings, resolve_runtime
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.manifest import ModelEntry, find_model
from segmentation.weights.tensors import read_checkpoint

PRECISIONS = ("fp32", "int8", "bf16")
"""What can be converted to. bf16 has no files of its own: it is measured."""

STOCK_DECODER = "stock-decoder"


def convert(
    checkpoint: Path,
    entry: ModelEntry,
    onnx_dir: Path,
    *,
    precision: str = "fp32",
    force: bool = False,
    say: Say = print,
    compare: Callable[..., Iterable[Finding]] = compare,
    flags: Callable[[], frozenset[str] | None] = cpu_flags,
    known: Iterable[ModelEntry] = (),
) -> None:
    """Makes the pair of a checkpoint, unless a whole one of the same checkpoint is there.

    Args:
        checkpoint: a file in any layout that `segmentation.weights.tensors` reads.
        entry: the model type that the pair will be.
        onnx_dir: where to.
        precision: of the encoder.
        force: convert even if the pair is there.
        say: takes each line of the report.
        compare: how the finished pair is held to the reference, as `conversion.verify.compare`.
        flags: what this CPU can do.
        known: other model types, whose name an error may say.

    Raises:
        ConfigurationError: the checkpoint can't be converted, or not here, or a pair of another checkpoint is there.
        ParityError: an error is above the tolerance; nothing was put in place.
    """
    refuse_precision(precision, flags)
    if not checkpoint.is_file():
        raise ModelFileError(f"{checkpoint} is missing")
    source = sha256_file(checkpoint)
    if not force and (pair := find_pair(onnx_dir, entry, precision)):
        refuse_other_source(pair, source)
        say(
            f"{pair.encoder} and {pair.decoder.name} are whole and of this checkpoint; nothing to do "
            "(--force converts again)"
        )
        return
    read = read_checkpoint(checkpoint)
    for note in read.notes:
        say(note)
    state, spec = read.state, fit(entry, read.state, str(checkpoint), known)
    sam = build_reference(spec.architecture, state, checkpoint)
    say(f"converting {checkpoint} ({spec.name})")

    threads = usable_cpus()

    def check(encoder: Path, decoder: Path) -> Mapping[str, str]:
        say(f"comparing with PyTorch, limit {TOLERANCE:g}")
        failed = 0
        for finding in compare(encoder, decoder, sam, spec.architecture, threads=threads, precision=precision):
            say(f"  {finding.error:.1e} {'' if finding.passed else 'TOO LARGE '}{finding.what}")
            failed += not finding.passed
        if failed:
            raise ParityError(
                f"{failed} errors are above {TOLERANCE:g}: the converted model is wrong and was discarded"
            )
        ours = open_converted(encoder, spec.architecture, threads=threads, precision=precision)
        return to_metadata(measured(ours, OnnxDecoder(decoder, spec.architecture, threads=threads), sam, say))

    if not force:
        _refuse_other_decoder(pair_paths(onnx_dir, spec.name)[1], source)
    for path in write_pair(spec, Source(state, source), onnx_dir, check, precision=precision):
        say(f"wrote {path}")


def convert_or_measure(
    checkpoint: Path,
    entry: ModelEntry,
    onnx_dir: Path,
    precision: str,
    *,
    force: bool = False,
    known: Iterable[ModelEntry] = (),
) -> None:
    """What `--precision` asks for. bf16 is measured, on a float32 pair that is made if it is not there."""
    is_bf16 = precision == "bf16"
    convert(checkpoint, entry, onnx_dir, precision="fp32" if is_bf16 else precision, force=force, known=known)
    if is_bf16:
        measure_bf16(checkpoint, entry, onnx_dir, known=known)


def convert_stock_decoder(
    checkpoint: Path, entry: ModelEntry, onnx_dir: Path, *, say: Say = print, known: Iterable[ModelEntry] = ()
) -> None:
    """Writes the decoder of a checkpoint in segment-anything's own interface; arguments and errors as `convert`."""
    state = read_checkpoint(checkpoint).state
    spec = fit(entry, state, str(checkpoint), known)
    sam = build_reference(spec.architecture, state, checkpoint)
    path, findings = write_stock_decoder(spec, state, sam, sha256_file(checkpoint), onnx_dir)
    if failed := failures(findings):
        raise ParityError(f"{failed}; it was discarded")
    worst = max(finding.error for finding in findings)
    say(f"wrote {path}: within {worst:.1e} of SamOnnxModel on {PROMPTS} prompts")


def refuse_precision(precision: str, flags: Callable[[], frozenset[str] | None] = cpu_flags) -> None:
    """Raises ConfigurationError when a precision can't be converted to, or not on this CPU."""
    if precision not in PRECISIONS:
        raise ConfigurationError(f"--precision {precision} can't be converted to; choose {', '.join(PRECISIONS)}")
    if precision == "int8" and not runs("onnx", precision, "cpu", flags()):
        raise ConfigurationError(
            "this CPU has no VNNI or AMX and computes int8 products wrong, so the quality can't be measured here: "
            "convert on one with them and copy the files"
        )


def _refuse_other_decoder(decoder: Path, source: str) -> None:
    """The decoder serves all precisions: replacing it by another checkpoint's would break the pairs that are there."""
    try:
        found = read_metadata(decoder).get("source_sha256") if decoder.is_file() else source
    except ModelFileError:
        return  # damaged: it serves nothing
    if found != source:
        raise ConfigurationError(f"{decoder} comes from another checkpoint; --force replaces it")


def find_pair(onnx_dir: Path, spec: ModelEntry, precision: str) -> OnnxPair | None:
    """The pair if it is there and whole."""
    try:
        return verify_pair(onnx_dir, spec, precision)
    except ModelFileError:
        return None


def refuse_other_source(pair: OnnxPair, source: str) -> None:
    """Raises ConfigurationError when a pair is not of the checkpoint with that SHA-256."""
    if pair.encoder_metadata["source_sha256"] != source:
        raise ConfigurationError(f"{pair.encoder} comes from another checkpoint; --force replaces it and the decoder")


def run(work: Callable[[], None]) -> int:
    """Runs a command's work; its errors become one line and an exit status."""
    try:
        work()
    except ConfigurationError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    except ParityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: can't write: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was changed", file=sys.stderr)
        return 130
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m conversion.convert_to_onnx", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="the file to convert")
    add_common_arguments(parser)
    parser.add_argument("--output-dir", type=Path, help="folder of the pair (default: SAM_ONNX_DIR or model/onnx)")
    options = parser.parse_args(argv)

    def work() -> None:
        settings = resolve_runtime(os.environ)
        spec = model_spec(settings, options.model_type)
        onnx_dir = options.output_dir or settings.onnx_dir
        known = models_of(settings).values()
        convert_or_measure(options.checkpoint, spec, onnx_dir, options.precision, force=options.force, known=known)
        if STOCK_DECODER in options.also:
            convert_stock_decoder(options.checkpoint, spec, onnx_dir, known=known)

    return run(work)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """What both commands take."""
    parser.add_argument("--model-type", help="a name in the manifest (default: SAM_MODEL_TYPE or vit_h)")
    parser.add_argument("--precision", default="fp32", help="of the encoder: fp32, int8 or bf16 (default: fp32)")
    parser.add_argument("--force", action="store_true", help="replace a pair that is there")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        choices=[STOCK_DECODER],
        help="write this too: the decoder in segment-anything's own ONNX interface, for other tools",
    )


def model_spec(settings: RuntimeSettings, model_type: str | None) -> ModelEntry:
    """The model that was asked for, or else the settings'."""
    return find_model(model_type or settings.model_type, models_of(settings))


if __name__ == "__main__":
    sys.exit(main())
