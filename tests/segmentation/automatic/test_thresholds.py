"""Candidates that passed loose thresholds hold those of stricter ones, to the last bit, on the trained demo model."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from segmentation.automatic.candidates import Candidates
from segmentation.automatic.generate import AutomaticParameters, decode_points, encode_crop, plan_crops
from segmentation.automatic.grid import Crop
from segmentation.automatic.thresholds import Thresholds, passing
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.protocol import PreparedImage
from segmentation.weights.manifest import PROJECT_ROOT, find_model, load_manifest

PAIR = [PROJECT_ROOT / "model" / "onnx" / f"sam_demo_{part}.onnx" for part in ("encoder", "decoder")]

pytestmark = pytest.mark.skipif(not all(path.is_file() for path in PAIR), reason="no demo model")

LOOSE = AutomaticParameters(points_per_side=10, pred_iou_thresh=0, stability_score_thresh=0.2, crop_n_layers=1)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.repeat(skimage.data.coins()[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def decoder() -> OnnxDecoder:
    return OnnxDecoder(PAIR[1], find_model("demo", load_manifest()).architecture, threads=2)


@pytest.fixture(scope="module")
def crops(picture: NDArray[np.uint8], decoder: OnnxDecoder) -> list[tuple[Crop, PreparedImage]]:
    encoder = OnnxEncoder(PAIR[0], decoder.architecture, threads=2)
    planned = plan_crops(picture.shape[:2], LOOSE)[:3]
    return [(crop, decoder.prepare(encode_crop(encoder, picture, crop.box))) for crop in planned]


@pytest.fixture(scope="module")
def loose(
    decoder: OnnxDecoder, crops: list[tuple[Crop, PreparedImage]], picture: NDArray[np.uint8]
) -> list[Candidates]:
    return [
        decode_points(decoder, image, crop.box, picture.shape[:2], crop.points, LOOSE.decoding) for crop, image in crops
    ]


@pytest.mark.parametrize(
    ("pred_iou", "stability"), [(0, 0.2), (0.3, 0.2), (0.6, 0.8), (0.8, 0.9), (0, 0.95), (0.99, 1)]
)
def test_stricter_thresholds_give_what_the_decoder_gives(
    decoder: OnnxDecoder,
    crops: list[tuple[Crop, PreparedImage]],
    loose: list[Candidates],
    picture: NDArray[np.uint8],
    pred_iou: float,
    stability: float,
) -> None:
    strict = replace(LOOSE, pred_iou_thresh=pred_iou, stability_score_thresh=stability)
    assert Thresholds.of(LOOSE).covers(Thresholds.of(strict))
    for (crop, image), held in zip(crops, loose, strict=True):
        fresh = decode_points(decoder, image, crop.box, picture.shape[:2], crop.points, strict.decoding)
        again = passing(held, Thresholds.of(strict))
        assert again.counts == fresh.counts
        for column in ("boxes", "predicted_iou", "stability_score", "points", "areas", "crop_boxes"):
            assert np.array_equal(getattr(again, column), getattr(fresh, column)), column
    assert sum(map(len, loose)) >= 50


@pytest.mark.parametrize(("pred_iou", "stability"), [(0.5, 0.79), (0.4, 0.9), (0, 0.8)])
def test_looser_thresholds_are_not_covered(pred_iou: float, stability: float) -> None:
    assert not Thresholds(0.5, 0.8).covers(Thresholds(pred_iou, stability))
