"""Holds a converted pair to `segment_anything`: the same pictures and prompts through both.

An error is max|a - b| / max|b| over a tensor, the measure of the project's correctness contract.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam

from conversion.reference import embed
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.types import PromptTokens
from segmentation.weights.architecture import Architecture

TOLERANCE = 1e-4
PROMPTS = 2
"""In each prompt set; few, because each runs through the reference too."""

LARGE_IMAGE = 1024
"""Input side from which one picture must do: the reference takes many seconds for each."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison: what was compared, and its error."""

    what: str
    error: float

    @property
    def passed(self) -> bool:
        """False for NaN, too."""
        return self.error <= TOLERANCE


@dataclass(frozen=True, slots=True)
class _Case:
    """Prompts as `segment_anything` takes them, in the input frame.

    points [B, N, 2] with labels [B, N]; boxes [B, 4]; masks [B, 4h, 4w].
    """

    what: str
    points: NDArray[np.float32] | None
    labels: NDArray[np.int64] | None
    boxes: NDArray[np.float32] | None
    masks: NDArray[np.float32] | None

    def tokens(self) -> PromptTokens:
        """The same prompts as our decoders take them."""
        coords, labels = np.zeros((PROMPTS, 0, 2), np.float32), np.zeros((PROMPTS, 0), np.int64)
        if self.points is not None and self.labels is not None:
            coords, labels = self.points, self.labels
        if self.boxes is not None:
            coords = np.concatenate([coords, self.boxes.reshape(-1, 2, 2)], axis=1)
            labels = np.concatenate([labels, np.tile([2, 3], (PROMPTS, 1))], axis=1)
        elif self.points is not None:
            coords = np.concatenate([coords, np.zeros((PROMPTS, 1, 2), np.float32)], axis=1)
            labels = np.concatenate([labels, np.full((PROMPTS, 1), -1)], axis=1)
        return PromptTokens(coords, labels, self.masks)


def compare(
    encoder: Path,
    decoder: Path,
    sam: Sam,
    architecture: Architecture,
    *,
    threads: int,
    precision: str = "fp32",
) -> Iterator[Finding]:
    """Compares the pair with the reference on random pictures, square and not, and every kind of prompt.

    An encoder in less than float32 is not held to the tolerance: `conversion.quality` measures it.
    """
    rng = np.random.default_rng(0)
    side = architecture.image_size
    shapes = [(side, side * 3 // 4), (side // 2 + 3, side), (side, side), (1, side)]
    if side >= LARGE_IMAGE or precision != "fp32":
        shapes = shapes[:1]
    runtime = OnnxEncoder(encoder, architecture, threads=threads) if precision == "fp32" else None
    reference = torch.empty(0)
    for height, width in shapes:
        picture = _random_picture(rng, height, width)
        padded = np.zeros((1, side, side, 3), np.uint8)
        padded[0, :height, :width] = picture
        reference = embed(sam, picture, architecture.preprocess)
        if runtime:
            ours = runtime.encode(padded, np.array([[height, width]]))
            yield Finding(f"embedding of {width}x{height}", relative_error(ours, reference.numpy()))
    del runtime  # before the decoder's memory
    yield from _compare_decoders(OnnxDecoder(decoder, architecture, threads=threads), sam, reference, rng)


def _compare_decoders(
    decoder: OnnxDecoder, sam: Sam, embedding: torch.Tensor, rng: np.random.Generator
) -> Iterator[Finding]:
    for case in _cases(decoder.architecture, rng):
        image = decoder.prepare(embedding[0].numpy())
        for multimask in (True, False):
            logits, iou = _reference_masks(sam, embedding, case, multimask)
            ours = decoder.decode(image, case.tokens(), multimask=multimask)
            what = f"{case.what}, {'three masks' if multimask else 'single mask'}"
            yield Finding(f"logits of {what}", relative_error(ours.logits.reshape(logits.shape), logits))
            yield Finding(f"predicted IoU of {what}", relative_error(ours.predicted_iou, iou))
            gate = float(np.median(iou))
            gated = decoder.decode(image, case.tokens(), multimask=multimask, min_iou=gate)
            wanted = np.argwhere(gated.predicted_iou > np.float32(gate))
            same = np.array_equal(gated.index, wanted)
            yield Finding(
                f"gated logits of {what}", relative_error(gated.logits, logits[tuple(wanted.T)]) if same else np.inf
            )


def _reference_masks(
    sam: Sam, embedding: torch.Tensor, case: _Case, multimask: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with torch.inference_mode():
        points = None
        if case.points is not None and case.labels is not None:
            points = torch.from_numpy(case.points), torch.from_numpy(case.labels)
        sparse, dense = sam.prompt_encoder(
            points=points,
            boxes=None if case.boxes is None else torch.from_numpy(case.boxes),
            masks=None if case.masks is None else torch.from_numpy(case.masks[:, None]),
        )
        logits, iou = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
    return logits.numpy(), iou.numpy()


def _cases(architecture: Architecture, rng: np.random.Generator) -> Iterator[_Case]:
    side, low_res = architecture.image_size, architecture.low_res_side
    points = rng.uniform(0, side, (PROMPTS, 3, 2)).astype(np.float32)
    labels = rng.integers(0, 2, (PROMPTS, 3))
    boxes = np.sort(rng.uniform(0, side, (PROMPTS, 2, 2)), axis=1).reshape(PROMPTS, 4).astype(np.float32)
    masks = rng.normal(0, 5, (PROMPTS, low_res, low_res)).astype(np.float32)
    yield _Case("one point", points[:, :1], labels[:, :1], None, None)
    yield _Case("points and box", points, labels, boxes, None)
    yield _Case("box and mask", None, None, boxes, masks)
    yield _Case("mask", None, None, None, masks)


def _random_picture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """uint8 [height, width, 3]: coarse blocks with noise on top, so that both windows and the whole matter."""
    blocks = rng.integers(0, 200, (height // 32 + 1, width // 32 + 1, 3)).repeat(32, 0).repeat(32, 1)
    return (blocks[:height, :width] + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)


def relative_error(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """max|a - b| / max|b|."""
    if reference.size == 0:
        return 0.0 if ours.size == 0 else np.inf
    return float(np.abs(ours - reference).max() / np.abs(reference).max())
