"""Finds or downloads a model's checkpoint and converts it to the ONNX pair that the server runs.

    python -m conversion.convert_model [--model-type vit_h|vit_l|vit_b|demo|NAME] [--precision P] [--force]
        [--also stock-decoder]

Exit status as `conversion.convert_to_onnx`.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

from conversion.convert_to_onnx import (
    STOCK_DECODER,
    add_common_arguments,
    convert_or_measure,
    convert_stock_decoder,
    find_pair,
    model_spec,
    refuse_precision,
    run,
)
from segmentation.backends.select import models_of
from segmentation.settings import resolve_runtime
from segmentation.weights.checkpoints import ensure_checkpoint, find_checkpoint
from segmentation.weights.manifest import ModelEntry


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m conversion.convert_model", description=__doc__.splitlines()[0])
    add_common_arguments(parser)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        settings = resolve_runtime(os.environ)
        spec = model_spec(settings, options.model_type)
        if (
            not options.force
            and not options.also
            and _is_converted(spec, settings.model_dir, settings.onnx_dir, options.precision)
        ):
            print(f"{spec.name} is converted in {settings.onnx_dir}; nothing to do (--force converts again)")
            return
        refuse_precision(options.precision)  # before gigabytes are downloaded for it
        checkpoint = ensure_checkpoint(spec, settings.model_dir)
        known = models_of(settings).values()
        convert_or_measure(checkpoint, spec, settings.onnx_dir, options.precision, force=options.force, known=known)
        if STOCK_DECODER in options.also:
            convert_stock_decoder(checkpoint, spec, settings.onnx_dir, known=known)

    return run(work)


def _is_converted(spec: ModelEntry, model_dir: Path, onnx_dir: Path, precision: str) -> bool:
    """Whether a whole pair is there and there is no checkpoint to compare it with: then none is downloaded for it."""
    pair = find_pair(onnx_dir, spec, precision) if find_checkpoint(spec, model_dir) is None else None
    return pair is not None and (precision != "bf16" or pair.quality is not None)


if __name__ == "__main__":
    sys.exit(main())
