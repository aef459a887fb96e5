"""Automatic masks of one picture from pixels to run lengths, encoder included: `segment_anything` and this project.

Same weights, picture, parameters, device and threads, in turn round by round. On a CPU this project runs the ONNX pair
on OpenVINO, on a GPU PyTorch. `--model` is the demo model with its own weights, or an architecture with random ones.
`--crop-layers 2` is the quality profile: 21 crops are encoded.

Predictions, written before the first run: on two cores with AVX512-BF16, `vit_b` without crops 5 times the reference in
float32 and 8 times in int8; on an H200, `vit_h` in bf16 10 times.

    python -m benchmarks.end_to_end [--model vit_b] [--device cpu] [--precision fp32] [--crop-layers 0] [--rounds 1]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sized
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from benchmarks.pictures import SOURCES, picture
from benchmarks.report import finish, machine
from conversion.reference import build_reference
from segmentation.automatic.generate import AutomaticParameters, generate
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.weights.architecture import Architecture
from segmentation.weights.manifest import PROJECT_ROOT, ModelSpec, find_model, load_manifest
from segmentation.weights.tensors import load_state_dict
from tests.support.oracle import random_sam

PASSING = 0.4
"""Share of the grid's candidates whose predicted IoU passes, as in `benchmarks.automatic`."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end")
    parser.add_argument("--model", default="vit_b")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16", "int8"])
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--crop-layers", type=int, default=0)
    parser.add_argument("--picture", default="coins", choices=SOURCES)
    options = parser.parse_args()
    architecture = find_model(options.model, load_manifest()).architecture
    assert architecture is not None
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        sam, checkpoint = _weights(options.model, architecture, Path(folder))
        encoder, decoder = _open(options, architecture, checkpoint, sam, Path(folder))
        image = picture(options.picture)
        parameters = _parameters(options, encoder, decoder, image)
        reference = _reference(sam, parameters, options.device)
        contenders: dict[str, Callable[[], Sized]] = {
            "reference": lambda: reference.generate(image),
            "ours": lambda: generate(encoder, decoder, image, parameters),
        }
        masks: dict[str, int] = {}
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, run in contenders.items():
                started = time.perf_counter()
                masks[name] = len(run())
                taken[name].append(time.perf_counter() - started)
        seconds = {name: statistics.median(values) for name, values in taken.items()}
    finish(
        f"end_to_end_{options.model}_{options.device}_{options.precision}",
        {
            "machine": machine(options.threads),
            "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
            "model": options.model,
            "precision": options.precision,
            "runtime": encoder.runtime.providers or (encoder.runtime.backend,),
            "picture": list(image.shape[:2]),
            "crop_layers": options.crop_layers,
            "points_per_side": options.points_per_side,
            "masks": masks,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "times_reference": round(seconds["reference"] / seconds["ours"], 2),
        },
    )


def _weights(model: str, architecture: Architecture, folder: Path) -> tuple[Sam, Path]:
    """The reference's model, and its checkpoint."""
    if model == "demo":
        checkpoint = PROJECT_ROOT / "model" / "sam_demo.pth"
        return build_reference(architecture, load_state_dict(checkpoint), checkpoint), checkpoint
    sam = random_sam(architecture)  # type: ignore[arg-type]
    checkpoint = folder / "random.pth"
    torch.save(sam.state_dict(), checkpoint)
    return sam, checkpoint


def _open(
    options: argparse.Namespace, architecture: Architecture, checkpoint: Path, sam: Sam, folder: Path
) -> tuple[EncoderBackend, DecoderBackend]:
    if options.device == "cuda":
        from segmentation.backends.pytorch.backend import PyTorchDecoder, PyTorchEncoder  # noqa: PLC0415

        encoder = PyTorchEncoder(
            checkpoint, architecture, device="cuda", threads=options.threads, precision=options.precision
        )
        return encoder, PyTorchDecoder(checkpoint, architecture, device="cuda", threads=options.threads)
    # What runs on a GPU needs neither a converter nor ONNX.
    from conversion.pair import Source, write_pair  # noqa: PLC0415
    from segmentation.backends.onnx.decoder import OnnxDecoder  # noqa: PLC0415
    from segmentation.backends.onnx.openvino_encoder import OpenVinoEncoder  # noqa: PLC0415

    spec = ModelSpec(name="benchmark", architecture=architecture, file=checkpoint.name)
    in_file = "fp32" if options.precision == "bf16" else options.precision
    paths = write_pair(spec, Source(sam.state_dict(), "0"), folder, lambda *files: None, precision=in_file)
    opened = OpenVinoEncoder(paths[0], architecture, threads=options.threads, precision=options.precision)
    return opened, OnnxDecoder(paths[1], architecture, threads=options.threads)


def _parameters(
    options: argparse.Namespace, encoder: EncoderBackend, decoder: DecoderBackend, image: NDArray[np.uint8]
) -> AutomaticParameters:
    """With thresholds that the wanted share of a small grid's masks passes, whatever the weights are."""
    every = AutomaticParameters(points_per_side=8, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1)
    records = generate(encoder, decoder, image, every)
    scores = np.array([record.predicted_iou for record in records])
    iou = float(np.clip(np.quantile(scores, 1 - PASSING), 0, 1))
    stability = np.array([record.stability_score for record in records])[scores > iou]
    return AutomaticParameters(
        points_per_side=options.points_per_side,
        crop_n_layers=options.crop_layers,
        crop_n_points_downscale_factor=2,
        pred_iou_thresh=iou,
        stability_score_thresh=float(min(0.9, np.median(stability))) if stability.size else 0,
    )


def _reference(sam: Sam, parameters: AutomaticParameters, device: str) -> SamAutomaticMaskGenerator:
    names = (
        "points_per_side",
        "pred_iou_thresh",
        "stability_score_thresh",
        "crop_n_layers",
        "crop_n_points_downscale_factor",
    )
    given = {name: getattr(parameters, name) for name in names}
    return SamAutomaticMaskGenerator(sam.to(device), **given, output_mode="coco_rle")


if __name__ == "__main__":
    main()
