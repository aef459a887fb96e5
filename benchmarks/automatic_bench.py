"""What the benchmark of automatic masks runs on: one model in both worlds, and the parameters of a picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.automatic_contenders import Ours, Reference, StockOnnx
from conversion.pair import Source, write_pair
from conversion.reference import build_reference
from segmentation.automatic.generate import AutomaticParameters
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.onnx.files import OnnxPair, verify_pair
from segmentation.transforms import pad_to_square, resize_image
from segmentation.warmup import warm_up
from segmentation.weights.checkpoints import sha256_file
from segmentation.weights.manifest import ModelSpec
from segmentation.weights.tensors import load_state_dict

STABILITY = 0.9
PASSING = 0.4
"""Share of candidates above the IoU threshold."""


class Bench:
    """One model on one machine: the reference's modules and our pair of the same weights."""

    def __init__(
        self, spec: ModelSpec, checkpoint: Path, folder: Path, threads: int, points_per_side: int = 32
    ) -> None:
        state = load_state_dict(checkpoint)
        self.spec, self.folder, self.threads = spec, folder, threads
        self.everything = AutomaticParameters(
            points_per_side=points_per_side, pred_iou_thresh=0, stability_score_thresh=0
        )
        self.sam = build_reference(spec.architecture, state, checkpoint)
        self.pair = _pair(spec, checkpoint, folder)
        self.encoder = OnnxEncoder(self.pair.encoder, spec.architecture, threads=threads)
        self.decoder = OnnxDecoder(self.pair.decoder, spec.architecture, threads=threads)
        torch.set_num_threads(threads)
        warm_up()

    def embedding(self, image: np.ndarray) -> np.ndarray:
        side = self.spec.architecture.image_size
        resized = resize_image(image, self.spec.architecture.frame)
        sizes = np.array([resized.shape[:2]], np.int64)
        return self.encoder.encode(pad_to_square(resized, side)[None], sizes)[0]

    def ours(self, image: np.ndarray, parameters: AutomaticParameters) -> Ours:
        return Ours(self.decoder, self.embedding(image), image.shape[:2], parameters)

    def parameters(self, image: np.ndarray) -> AutomaticParameters:
        """With the IoU threshold that the wanted share of candidates passes."""
        iou = self.ours(image, self.everything).all_predicted_iou()
        threshold = float(np.clip(np.quantile(iou, 1 - PASSING), 0, 1))
        return replace(self.everything, pred_iou_thresh=threshold, stability_score_thresh=STABILITY)

    def contender(self, name: str, image: np.ndarray, parameters: AutomaticParameters) -> Reference | StockOnnx | Ours:
        if name == "reference":
            return Reference(self.sam, image, parameters)
        if name == "stock_onnx":
            return StockOnnx(self.sam, image, parameters, self.folder, self.threads)
        return self.ours(image, parameters)


def _pair(spec: ModelSpec, checkpoint: Path, folder: Path) -> OnnxPair:
    """The pair in `folder`, converted there unless it is there already."""
    if not any(folder.glob(f"sam_{spec.name}_encoder*.onnx")):
        source = Source(load_state_dict(checkpoint), sha256_file(checkpoint))
        write_pair(spec, source, folder, lambda encoder, decoder: None)
    return verify_pair(folder, spec)
