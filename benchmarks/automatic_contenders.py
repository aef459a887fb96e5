"""Three ways to every mask of a picture on the same weights, each timed by stage. None includes the image encoder."""

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.onnx import SamOnnxModel

from segmentation.automatic.candidates import Candidates, concatenate
from segmentation.automatic.generate import AutomaticParameters, decode_points, merge, merge_crop, plan_crops
from segmentation.backends.protocol import DecoderBackend
from segmentation.masks.rle import decode
from segmentation.prompts import tokenize
from segmentation.timed_decoder import TimedDecoder
from segmentation.types import MaskRecord, Prompt, Rle, Size
from tests.support.reference import RecordingGenerator

Mask = tuple[tuple[float, ...], NDArray[np.bool_]]
"""(point, mask), for the comparison."""


class Stages:
    """Wall-clock seconds by stage, and the seconds of all this process's threads."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[stage] += time.perf_counter() - wall
        self.cpu[stage] += time.process_time() - cpu


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run: seconds by stage with `total` and the processor's `cpu` seconds, which a busy machine changes less; the
    candidates before box NMS, and the final masks.
    """

    seconds: Mapping[str, float]
    candidates: Candidates
    masks: list[Mask]


class Reference:
    """`SamAutomaticMaskGenerator` on PyTorch, its embedding held."""

    def __init__(self, sam: Sam, image: NDArray[np.uint8], parameters: AutomaticParameters) -> None:
        self._stages = Stages()
        self._image = image
        self._generator = RecordingGenerator(sam, parameters, output_mode="coco_rle")
        predictor = self._generator.predictor
        predictor.set_image(image)
        predictor.set_image = lambda picture: None
        predictor.reset_image = lambda: None
        self._process_batch = self._generator._process_batch
        self._decoding_since = 0.0
        sam.prompt_encoder.register_forward_pre_hook(self._start_decoding)
        sam.mask_decoder.register_forward_hook(self._stop_decoding)
        self._generator._process_batch = self._timed_batch

    def run(self) -> Outcome:
        self._stages.wall.clear()
        self._stages.cpu.clear()
        self._generator.batches.clear()
        with self._stages("total"):
            records = self._generator.generate(self._image)
        image_size = (self._image.shape[0], self._image.shape[1])
        return Outcome(
            _split(self._stages),
            concatenate(self._generator.candidates),
            [
                (tuple(record["point_coords"][0]), decode(Rle(image_size, record["segmentation"]["counts"])))
                for record in records
            ],
        )

    def _timed_batch(self, *arguments: Any) -> Any:
        with self._stages("batch"):
            return self._process_batch(*arguments)

    def _start_decoding(self, *_: Any) -> None:
        self._decoding_since = time.perf_counter()

    def _stop_decoding(self, *_: Any) -> None:
        self._stages.wall["decode"] += time.perf_counter() - self._decoding_since


class StockOnnx(Reference):
    """segment-anything's own ONNX export of the decoder, point by point as it must be, in the same generator.

    The export upscales in the graph, so its `decode` includes that; the picture's size is baked in by tracing.
    """

    def __init__(
        self, sam: Sam, image: NDArray[np.uint8], parameters: AutomaticParameters, folder: Path, threads: int
    ) -> None:
        super().__init__(sam, image, parameters)
        self._session = _open(_export(sam, image.shape[:2], folder), threads)
        predictor = self._generator.predictor
        side = sam.prompt_encoder.mask_input_size[0]
        self._shared = {
            "image_embeddings": predictor.features.numpy(),
            "mask_input": np.zeros((1, 1, side, side), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array(image.shape[:2], np.float32),
        }
        predictor.predict_torch = self._predict

    def _predict(self, points: torch.Tensor, labels: torch.Tensor, **options: Any) -> tuple[torch.Tensor, ...]:
        with self._stages("decode"):
            answers = [self._run_point(point) for point in points.numpy()]
        masks, iou = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        return torch.from_numpy(masks), torch.from_numpy(iou), torch.empty(0)

    def _run_point(self, point: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        coords = np.concatenate([point, np.zeros((1, 2))])[None].astype(np.float32)
        prompt = {"point_coords": coords, "point_labels": np.array([[1, -1]], np.float32)}
        masks, iou = self._session.run(["masks", "iou_predictions"], {**self._shared, **prompt})
        # The first of the four is the single mask.
        return masks[:, 1:], iou[:, 1:]


class Ours:
    """The ONNX decoder of this project and what follows it."""

    def __init__(
        self, decoder: DecoderBackend, embedding: NDArray[np.float32], size: Size, parameters: AutomaticParameters
    ) -> None:
        self._decoder = decoder
        self._embedding = embedding
        self._size = size
        self._parameters = parameters
        (self._crop,) = plan_crops(size, parameters)

    def run(self) -> Outcome:
        stages = Stages()
        decoder = TimedDecoder(self._decoder)
        with stages("total"):
            with stages("batch"):
                image = decoder.prepare(self._embedding)
                candidates = decode_points(
                    decoder, image, self._crop.box, self._size, self._crop.points, self._parameters.decoding
                )
            records = merge([merge_crop([candidates], self._parameters)], self._size, self._parameters)
        stages.wall["decode"] = decoder.seconds
        return Outcome(_split(stages), candidates, [_keyed(record) for record in records])

    def all_predicted_iou(self) -> NDArray[np.float32]:
        """The predicted IoU of every candidate."""
        image = self._decoder.prepare(self._embedding)
        label = np.ones(1, np.int64)
        prompts = [Prompt(points=point[None].astype(np.float32), labels=label) for point in self._crop.points]
        ((_, tokens),) = tokenize(prompts, self._size, self._decoder.architecture)
        return self._decoder.decode(image, tokens, min_iou=1.0).predicted_iou.ravel()


def _keyed(record: MaskRecord) -> Mask:
    assert record.point_coords is not None
    return record.point_coords[0], decode(record.rle)


def _split(stages: Stages) -> dict[str, float]:
    """Decoding, what follows it batch by batch, and what follows the last batch."""
    wall = stages.wall
    return {
        "decode": wall["decode"],
        "postprocess": wall["batch"] - wall["decode"],
        "merge": wall["total"] - wall["batch"],
        "total": wall["total"],
        "cpu": stages.cpu["total"],
    }


def _export(sam: Sam, size: tuple[int, ...], folder: Path) -> Path:
    """The stock export, as `scripts/export_onnx_model.py` of segment-anything makes it."""
    side, dim = sam.prompt_encoder.image_embedding_size[0], sam.prompt_encoder.embed_dim
    inputs = {
        "image_embeddings": torch.randn(1, dim, side, side),
        "point_coords": torch.randint(0, 100, (1, 2, 2)).float(),
        "point_labels": torch.tensor([[1.0, -1.0]]),
        "mask_input": torch.randn(1, 1, 4 * side, 4 * side),
        "has_mask_input": torch.tensor([1.0]),
        "orig_im_size": torch.tensor([float(length) for length in size]),
    }
    path = folder / f"stock_{size[0]}x{size[1]}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            SamOnnxModel(sam, return_single_mask=False),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=["masks", "iou_predictions", "low_res_masks"],
            dynamic_axes={"point_coords": {1: "points"}, "point_labels": {1: "points"}},
            opset_version=17,
            dynamo=False,
        )
    return path


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
