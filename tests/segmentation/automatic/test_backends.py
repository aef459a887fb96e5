"""Automatic masks on both real backends against the reference on the same weights."""

from dataclasses import replace

import numpy as np
import pytest
from oracle import TINY, random_sam
from photographs import photograph
from reference import SCORE_TOLERANCE, RecordingGenerator, candidate_keys, compare
from tiny_pair import convert, save_checkpoint

from segmentation.automatic.candidates import concatenate
from segmentation.automatic.generate import AutomaticParameters, decode_points, encode_crop, generate, plan_crops
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.backends.pytorch.backend import PyTorchDecoder, PyTorchEncoder
from segmentation.masks.rle import decode

# Random weights answer with noise over the whole picture, so no box overlap may remove anything.
EVERYTHING = AutomaticParameters(
    points_per_side=8,
    pred_iou_thresh=0,
    stability_score_thresh=0,
    stability_score_offset=0.01,
    box_nms_thresh=1.0,
    crop_nms_thresh=1.0,
)
PICTURES = {"landscape": (140, 211), "portrait": (190, 97), "square": (64, 64)}


@pytest.fixture(scope="module", params=["onnx", "pytorch"])
def backends(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    checkpoint = save_checkpoint(folder / "tiny.pth")
    if request.param == "pytorch":
        return PyTorchEncoder(checkpoint, TINY), PyTorchDecoder(checkpoint, TINY)
    pair = convert(checkpoint, folder / "onnx")
    return OnnxEncoder(pair.encoder, TINY), OnnxDecoder(pair.decoder, TINY)


def at_the_median(image, name):
    """Parameters whose threshold half of the reference's candidates pass."""
    generator = RecordingGenerator(random_sam(), EVERYTHING)
    generator.generate(image)
    scores = getattr(concatenate(generator.candidates), name)
    positive = scores[scores > 0]
    threshold = {"predicted_iou": "pred_iou_thresh", "stability_score": "stability_score_thresh"}[name]
    return replace(EVERYTHING, **{threshold: float(np.median(positive))})


@pytest.mark.parametrize("threshold", ["predicted_iou", "stability_score"])
@pytest.mark.parametrize("size", PICTURES.values(), ids=PICTURES)
def test_the_same_masks(backends, size, threshold) -> None:
    encoder, decoder = backends
    image = photograph(*size)
    parameters = at_the_median(image, threshold)
    generator = RecordingGenerator(random_sam(), parameters)
    generator.generate(image)
    expected = concatenate(generator.candidates)

    (crop,) = plan_crops(size, parameters)
    prepared = decoder.prepare(encode_crop(encoder, image, crop.box))
    ours = decode_points(decoder, prepared, crop.box, size, crop.points, parameters.decoding)
    result = compare(candidate_keys(expected, size), candidate_keys(ours, size))
    for side, indexes in ((expected, result.only_expected), (ours, result.only_ours)):
        for index in indexes:
            score, limit = side.predicted_iou[index], parameters.pred_iou_thresh
            stability, stability_limit = side.stability_score[index], parameters.stability_score_thresh
            assert abs(score - limit) <= SCORE_TOLERANCE or abs(stability - stability_limit) <= SCORE_TOLERANCE
    assert len(result.pairs) >= 20
    left, right = np.array(result.pairs).T
    np.testing.assert_allclose(ours.predicted_iou[right], expected.predicted_iou[left], rtol=0, atol=SCORE_TOLERANCE)
    np.testing.assert_allclose(
        ours.stability_score[right], expected.stability_score[left], rtol=0, atol=SCORE_TOLERANCE
    )


def test_end_to_end_with_crops(backends) -> None:
    """Both sides sort by scores that differ in the last digits, so masks are matched and not compared in order."""
    encoder, decoder = backends
    image = photograph(96, 150)
    parameters = replace(EVERYTHING, crop_n_layers=1, points_per_side=4)
    expected = RecordingGenerator(random_sam(), parameters).generate(image)
    records = generate(encoder, decoder, image, parameters)
    result = compare(
        [((*mask["point_coords"][0], *mask["crop_box"]), mask["segmentation"]) for mask in expected],
        [((*record.point_coords[0], *record.crop_box), decode(record.rle)) for record in records],
    )
    assert result.only_expected == result.only_ours == []
    assert len(result.pairs) >= 20
