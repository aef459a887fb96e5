"""One point on a held embedding, to three masks in run lengths: what an annotator waits for at each click.

Against segment-anything's predictor and its run-length encoder, on nine points spread over `coins` at a megapixel: on
coins, whose masks are small, and on the background, whose masks are large.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from segment_anything.utils.amg import coco_encode_rle, mask_to_rle_pytorch

from benchmarks.automatic_bench import Bench
from benchmarks.pictures import picture
from benchmarks.report import interleaved
from conversion.pair import Source, write_pair
from segmentation.backends.onnx import OnnxDecoder
from segmentation.backends.sam_module import build_sam
from segmentation.predict import segment
from segmentation.rle import decode
from segmentation.transforms import input_size
from segmentation.types import Prompt, Size

SIDE = 1024
PLACES = [0.2, 0.5, 0.8]


def interactive(bench: Bench, rounds: int) -> dict[str, float]:
    """Median seconds of one point, on the bench's own model.

    `ours_first` is the first click on a picture in a decoder replica; `ours` any later one, when the replica holds what
    it prepared of the picture. `least_iou` is that of the two sides' masks.
    """
    image = picture("coins")
    return _compare(bench.sam, bench.decoder, bench.embedding(image), (image.shape[0], image.shape[1]), rounds)


def interactive_1024(bench: Bench, rounds: int) -> dict[str, float]:
    """The same at the size of Meta's models: the bench's mask decoder, whose weights know no size, on its own embedding
    enlarged to 64x64. Random weights would not do: their masks are noise, with contours everywhere.
    """
    image = picture("coins")
    architecture = replace(bench.spec.architecture, image_size=SIDE)
    sam = build_sam(architecture).eval()
    theirs = sam.state_dict()
    trained = bench.sam.state_dict()
    # The encoder, whose position tables have another shape, is not run.
    sam.load_state_dict(
        {name: trained[name] if trained[name].shape == theirs[name].shape else theirs[name] for name in theirs}
    )
    folder = bench.folder / "1024"
    spec = replace(bench.spec, architecture=architecture)
    _, path = write_pair(spec, Source(sam.state_dict(), "0" * 64), folder, lambda encoder, decoder: None)
    small = torch.from_numpy(bench.embedding(image))[None]
    embedding = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")[0].numpy()
    decoder = OnnxDecoder(Path(path), architecture, threads=bench.threads)
    return _compare(sam, decoder, embedding, (image.shape[0], image.shape[1]), rounds)


def _compare(
    sam: Sam, decoder: OnnxDecoder, embedding: NDArray[np.float32], size: Size, rounds: int
) -> dict[str, float]:
    predictor = SamPredictor(sam)
    predictor.features = torch.from_numpy(embedding)[None]
    predictor.original_size, predictor.is_image_set = size, True
    predictor.input_size = input_size(size, decoder.architecture.image_size)
    prepared = decoder.prepare(embedding)
    grid = np.stack(np.meshgrid(PLACES, PLACES), axis=-1).reshape(-1, 1, 2)
    points = (grid * (size[1], size[0])).astype(np.float32)
    prompts = [Prompt(points=point, labels=np.array([1])) for point in points]

    def reference() -> None:
        for point in points:
            masks, _, _ = predictor.predict(point, np.array([1]))
            for rle in mask_to_rle_pytorch(torch.as_tensor(masks)):
                coco_encode_rle(rle)

    def ours() -> None:
        for prompt in prompts:
            segment(decoder, prepared, size, [prompt])

    def ours_first() -> None:
        for prompt in prompts:
            segment(decoder, decoder.prepare(embedding), size, [prompt])

    ious = []
    for point, prompt in zip(points, prompts, strict=True):
        masks, scores, _ = predictor.predict(point, np.array([1]))
        records = segment(decoder, prepared, size, [prompt])[0]
        for record, mask in zip(records, masks[np.argsort(-scores, kind="stable")], strict=True):
            shown = decode(record.rle)
            ious.append((shown & mask).sum() / max(1, (shown | mask).sum()))
    seconds = interleaved({"reference": reference, "ours": ours, "ours_first": ours_first}, rounds)
    medians = {name: value / len(points) for name, value in seconds.items()}
    return {
        **{name: round(value, 5) for name, value in medians.items()},
        "share": round(medians["ours"] / medians["reference"], 3),
        "least_iou": round(float(min(ious)), 5),
    }
