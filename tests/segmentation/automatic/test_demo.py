"""Automatic masks of the trained demo model's ONNX pair against the reference: contours and duplicates as in use."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from reference import SCORE_TOLERANCE, RecordingGenerator, candidate_keys, compare

from conversion.reference import build_reference
from segmentation.automatic.candidates import concatenate
from segmentation.automatic.generate import (
    AutomaticParameters,
    decode_points,
    encode_crop,
    merge,
    merge_crop,
    plan_crops,
)
from segmentation.backends.onnx.decoder import OnnxDecoder
from segmentation.backends.onnx.encoder import OnnxEncoder
from segmentation.masks.rle import decode
from segmentation.weights.manifest import PROJECT_ROOT, find_model, load_manifest
from segmentation.weights.tensors import load_state_dict

CHECKPOINT = PROJECT_ROOT / "model" / "sam_demo.pth"
PAIR = [PROJECT_ROOT / "model" / "onnx" / f"sam_demo_{part}.onnx" for part in ("encoder", "decoder")]

pytestmark = pytest.mark.skipif(not all(path.is_file() for path in (CHECKPOINT, *PAIR)), reason="no demo model")

BASE = AutomaticParameters(points_per_side=12, pred_iou_thresh=0.6, stability_score_thresh=0.8)
CASES = {
    "coins, crops": (skimage.data.coins, replace(BASE, crop_n_layers=1, crop_n_points_downscale_factor=2)),
    "coffee, small regions": (skimage.data.coffee, replace(BASE, pred_iou_thresh=0.4, min_mask_region_area=100)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_masks(case) -> None:
    source, parameters = CASES[case]
    image = source() if source().ndim == 3 else np.repeat(source()[..., None], 3, axis=2)
    size = image.shape[:2]
    architecture = find_model("demo", load_manifest()).architecture
    generator = RecordingGenerator(build_reference(architecture, load_state_dict(CHECKPOINT), CHECKPOINT), parameters)
    expected = generator.generate(image)
    candidates = concatenate(generator.candidates)

    encoder, decoder = OnnxEncoder(PAIR[0], architecture), OnnxDecoder(PAIR[1], architecture)
    parts = []
    crops = plan_crops(size, parameters)
    for crop in crops:
        prepared = decoder.prepare(encode_crop(encoder, image, crop.box))
        parts.append(decode_points(decoder, prepared, crop.box, size, crop.points, parameters.decoding))
    ours = concatenate(parts)

    result = compare(candidate_keys(candidates, size), candidate_keys(ours, size))
    assert len(result.pairs) >= 20
    for side, indexes in ((candidates, result.only_expected), (ours, result.only_ours)):
        for index in indexes:
            margins = (
                side.predicted_iou[index] - parameters.pred_iou_thresh,
                side.stability_score[index] - parameters.stability_score_thresh,
            )
            assert np.abs(margins).min() <= SCORE_TOLERANCE
    left, right = np.array(result.pairs).T
    for name in ("predicted_iou", "stability_score"):
        np.testing.assert_allclose(
            getattr(ours, name)[right], getattr(candidates, name)[left], rtol=0, atol=SCORE_TOLERANCE
        )

    records = merge([merge_crop([part], parameters) for part in parts], size, parameters)
    final = compare(
        [((*mask["point_coords"][0], *mask["crop_box"]), mask["segmentation"]) for mask in expected],
        [((*record.point_coords[0], *record.crop_box), decode(record.rle)) for record in records],
    )
    assert len(final.pairs) >= 10
    if not result.only_expected and not result.only_ours:
        # The same candidates: only a tie of scores can choose another of two duplicates.
        ties = count_near_ties(candidates.predicted_iou)
        assert len(final.only_expected) + len(final.only_ours) <= 2 * ties


def count_near_ties(scores) -> int:
    """Pairs of neighbours in the order of scores that the tolerance can swap."""
    return int((np.diff(np.sort(scores)) <= 1e-6).sum())
