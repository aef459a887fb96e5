"""One point on a held embedding, to three masks in run lengths: what an annotator waits for at each click.

Against segment-anything's predictor and its run-length encoder, same weights, threads and points: nine, spread over
`coins` at a megapixel, on coins, whose masks are small, and on the background, whose masks are large. With the demo
model, and at the size of Meta's models: the demo's mask decoder, whose weights know no size, on its own embedding
enlarged to 64x64. Random weights would not do: their masks are noise, with contours everywhere.

The contenders take turns of the nine points twice: the second is timed as `seconds`. The first, `seconds_first`, finds
what the other left in the caches.

Predictions, written before the first run with pixels in blocks of bits: 0.24 of the reference's time with the demo
model and 0.26 in first turns; 0.21 at the size of Meta's models.

    python -m benchmarks.interactive [--rounds 9]
"""

import argparse
import tempfile
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
from benchmarks.report import finish, gemm_peak, interleaved, machine
from conversion.pair import Source, write_pair
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.masks.rle import decode
from segmentation.predict import segment
from segmentation.transforms import input_size
from segmentation.types import Prompt
from segmentation.weights.manifest import find_model, load_manifest

SIDE = 1024
SLOTS = [0.2, 0.5, 0.8]


def at_1024(bench: Bench) -> tuple[Sam, OnnxDecoder, NDArray[np.float32]]:
    """The bench's mask decoder in both worlds at `SIDE`, and its embedding of the picture enlarged to that."""
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
    small = torch.from_numpy(bench.embedding(picture("coins")))[None]
    embedding = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")[0].numpy()
    return sam, OnnxDecoder(Path(path), architecture, threads=bench.threads), embedding


def compare(sam: Sam, decoder: OnnxDecoder, embedding: NDArray[np.float32], rounds: int) -> dict[str, object]:
    """Median seconds of one point.

    `ours_unprepared` is the first click on a picture in a decoder replica; `ours` any later one, when the replica holds
    what it prepared of the picture. `least_iou` is that of the two sides' masks.
    """
    size = picture("coins").shape[:2]
    predictor = SamPredictor(sam)
    predictor.features = torch.from_numpy(embedding)[None]
    predictor.original_size, predictor.is_image_set = size, True
    predictor.input_size = input_size(size, decoder.architecture.frame)
    prepared = decoder.prepare(embedding)
    grid = np.stack(np.meshgrid(SLOTS, SLOTS), axis=-1).reshape(-1, 1, 2)
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

    def ours_unprepared() -> None:
        for prompt in prompts:
            segment(decoder, decoder.prepare(embedding), size, [prompt])

    ious = []
    for point, prompt in zip(points, prompts, strict=True):
        masks, scores, _ = predictor.predict(point, np.array([1]))
        records = segment(decoder, prepared, size, [prompt])[0]
        for record, mask in zip(records, masks[np.argsort(-scores, kind="stable")], strict=True):
            shown = decode(record.rle)
            ious.append((shown & mask).sum() / max(1, (shown | mask).sum()))
    contenders = {"reference": reference, "ours": ours, "ours_unprepared": ours_unprepared}
    goes = interleaved({f"{name} {go}": run for name, run in contenders.items() for go in ("first", "second")}, rounds)
    first, second = (
        {name: round(goes[f"{name} {go}"] / len(points), 5) for name in contenders} for go in ("first", "second")
    )
    return {
        "seconds": second,
        "seconds_first": first,
        "share": round(second["ours"] / second["reference"], 3),
        "share_first": round(first["ours"] / first["reference"], 3),
        "least_iou": round(float(min(ious)), 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    result: dict[str, object] = {"machine": machine(options.threads), "model": "demo", "rounds": options.rounds}
    result["gflops_peak"] = round(gemm_peak(options.threads), 1)
    with tempfile.TemporaryDirectory() as folder:
        model = find_model("demo", load_manifest())
        bench = Bench(model, Path("model/sam_demo.pth"), Path(folder), options.threads)
        embedding = bench.embedding(picture("coins"))
        result["demo"] = compare(bench.sam, bench.decoder, embedding, options.rounds)
        result["side_1024"] = compare(*at_1024(bench), options.rounds)
    finish("interactive", result)


if __name__ == "__main__":
    main()
