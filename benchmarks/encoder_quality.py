"""What each encoder costs in quality on a model's own weights: embeddings, masks of points, and automatic masks."""

import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from benchmarks.pictures import SOURCES, picture
from conversion.pair import Source, write_pair
from conversion.quality import measure
from conversion.reference import build_reference
from segmentation.automatic.generate import AutomaticParameters, generate
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.openvino_encoder import OpenVinoEncoder
from segmentation.backends.protocol import EncoderBackend, RuntimeInfo
from segmentation.backends.pytorch.backend import PyTorchEncoder
from segmentation.weights.architecture import Architecture
from segmentation.weights.checkpoints import ensure_checkpoint
from segmentation.weights.manifest import PROJECT_ROOT, load_manifest
from segmentation.weights.tensors import load_state_dict

AUTOMATIC = AutomaticParameters(points_per_side=16, pred_iou_thresh=0.5, stability_score_thresh=0.8)


class _Reference:
    """The package's encoder, one picture at a time."""

    def __init__(self, sam: Sam, architecture: Architecture) -> None:
        self.architecture = architecture
        self.runtime = RuntimeInfo("pytorch", "cpu", (), "fp32")
        self._sam = sam

    @torch.inference_mode()
    def encode(self, images: NDArray[np.uint8], sizes: NDArray[np.int64]) -> NDArray[np.float32]:
        pixels = [
            torch.from_numpy(image[:height, :width].copy()).permute(2, 0, 1)[None].float()
            for image, (height, width) in zip(images, sizes, strict=True)
        ]
        return np.concatenate([self._sam.image_encoder(self._sam.preprocess(part)).numpy() for part in pixels])


def quality_of(model: str, names: list[str], threads: int) -> dict[str, dict[str, object]]:
    """By contender: the record that a conversion makes, and the automatic masks of all pictures together."""
    spec = load_manifest()[model]
    checkpoint = ensure_checkpoint(spec, PROJECT_ROOT / "model")
    source = Source(load_state_dict(checkpoint), "0")
    sam = build_reference(spec.architecture, source.state, checkpoint)
    pictures = [picture(name) for name in SOURCES]
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ["reference", *names]:
            backend, _, precision = name.partition(" ")
            encoder: EncoderBackend
            if name == "reference":
                encoder = _Reference(sam, spec.architecture)
            elif backend in ("onnx", "openvino"):
                in_file = "fp32" if precision == "bf16" else precision
                path, _ = write_pair(spec, source, Path(folder), lambda *files: None, precision=in_file)
                runtime = OnnxEncoder if backend == "onnx" else OpenVinoEncoder
                encoder = runtime(path, spec.architecture, threads=threads, precision=precision)
            elif backend == "pytorch":
                encoder = PyTorchEncoder(checkpoint, spec.architecture, threads=threads, precision=precision)
            else:  # the plain export is the reference's
                continue
            _, decoder_path = write_pair(spec, source, Path(folder) / "decoder", lambda *files: None)
            decoder = OnnxDecoder(decoder_path, spec.architecture, threads=threads)
            masks = [len(generate(encoder, decoder, image, AUTOMATIC)) for image in pictures]
            found[name] = {**asdict(measure(encoder, decoder, sam)), "automatic_masks": masks}
    exact = np.array(found["reference"]["automatic_masks"])
    for row in found.values():
        row["automatic_masks_change"] = round(float(np.sum(row["automatic_masks"]) / exact.sum() - 1), 4)
    return found
