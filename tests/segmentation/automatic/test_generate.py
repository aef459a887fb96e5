"""Automatic masks against `SamAutomaticMaskGenerator`, as the design's "Correctness" asks: (a) candidates, (b) merging
the reference's own candidates, (c) end to end.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from localised import localised_sam
from oracle import TINY, random_sam
from photographs import gradient, photograph
from reference import SCORE_TOLERANCE, RecordingGenerator, candidate_keys, compare, same_mask
from sam_backend import SamDecoder, SamEncoder

from segmentation.automatic.candidates import concatenate, no_candidates
from segmentation.automatic.generate import (
    AutomaticParameters,
    Candidates,
    decode_points,
    encode_crop,
    generate,
    merge,
    merge_crop,
    plan_crops,
)
from segmentation.masks.rle import decode, encode
from segmentation.weights.manifest import load_manifest

BASE = AutomaticParameters(points_per_side=10, pred_iou_thresh=0.48, stability_score_thresh=0.6)
CASES = {
    "whole picture": (photograph(300, 421), BASE),
    "crops": (photograph(240, 330), replace(BASE, crop_n_layers=1, crop_n_points_downscale_factor=2)),
    "two crop layers, portrait": (
        photograph(260, 150),
        replace(BASE, crop_n_layers=2, crop_n_points_downscale_factor=2, crop_overlap_ratio=0.5, box_nms_thresh=0.9),
    ),
    "small regions": (photograph(181, 199), replace(BASE, min_mask_region_area=30, crop_n_layers=1)),
    "no thresholds": (
        photograph(97, 160),
        replace(BASE, points_per_side=6, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=0.9),
    ),
    "own grids": (
        gradient(128, 128),
        replace(
            BASE,
            pred_iou_thresh=0.4,
            stability_score_thresh=0.5,
            box_nms_thresh=0.8,
            points_per_side=None,
            point_grids=(tuple((x / 9, y / 7) for x in range(10) for y in range(8)), ((0.3, 0.4), (0.8, 0.6))),
            crop_n_layers=1,
            points_per_batch=17,
        ),
    ),
    "smaller than the grid": (gradient(7, 64), replace(BASE, points_per_side=12, stability_score_thresh=0.1)),
    "long": (gradient(64, 900), replace(BASE, pred_iou_thresh=0.4, box_nms_thresh=0.9)),
}


class Run:
    """One case: the reference's results and ours."""

    def __init__(self, sam, architecture, image, parameters):
        self.image, self.parameters = image, parameters
        self.size = image.shape[:2]
        self.encoder, self.decoder = SamEncoder(sam, architecture), SamDecoder(sam, architecture)
        generator = RecordingGenerator(sam, parameters)
        self.expected = generator.generate(image)
        self.expected_candidates = generator.candidates
        self.crops = plan_crops(self.size, parameters)
        self.records = generate(self.encoder, self.decoder, image, parameters)


@pytest.fixture(scope="module")
def sam():
    return localised_sam()


@pytest.fixture(scope="module", params=CASES)
def run(request, sam):
    return Run(sam, TINY, *CASES[request.param])


def candidates_of(run):
    parts = []
    for crop in run.crops:
        prepared = run.decoder.prepare(encode_crop(run.encoder, run.image, crop.box))
        parts.append(decode_points(run.decoder, prepared, crop.box, run.size, crop.points, run.parameters.decoding))
    return parts


def check_candidates(expected: Candidates, ours: Candidates, size, parameters):
    result = compare(candidate_keys(expected, size), candidate_keys(ours, size))
    for side, indexes in ((expected, result.only_expected), (ours, result.only_ours)):
        for index in indexes:
            assert (
                abs(side.predicted_iou[index] - parameters.pred_iou_thresh) <= SCORE_TOLERANCE
                or abs(side.stability_score[index] - parameters.stability_score_thresh) <= SCORE_TOLERANCE
            )
    left, right = np.array(result.pairs).T
    np.testing.assert_allclose(ours.predicted_iou[right], expected.predicted_iou[left], rtol=0, atol=SCORE_TOLERANCE)
    np.testing.assert_allclose(
        ours.stability_score[right], expected.stability_score[left], rtol=0, atol=SCORE_TOLERANCE
    )
    assert len(result.pairs) >= 20
    # The order of the reference: points, then the masks of a point.
    assert (np.diff(right) > 0).all()


def test_candidates_are_the_references(run) -> None:
    check_candidates(concatenate(run.expected_candidates), concatenate(candidates_of(run)), run.size, run.parameters)


def test_merging_the_references_candidates_gives_its_output(run) -> None:
    shards = concatenate(run.expected_candidates)
    per_crop = []
    for crop in run.crops:
        own = np.flatnonzero((shards.crop_boxes == crop.box).all(axis=1))
        per_crop.append(
            merge_crop([shards.take(own[: len(own) // 2]), shards.take(own[len(own) // 2 :])], run.parameters)
        )
    records = merge(per_crop, run.size, run.parameters)
    assert len(records) >= 20
    assert len(records) == len(run.expected)
    for record, expected in zip(records, run.expected, strict=True):
        np.testing.assert_array_equal(decode(record.rle), expected["segmentation"])
        x, y, width, height = expected["bbox"]
        assert record.bbox == ((x, y, width + 1, height + 1) if expected["area"] else (0, 0, 0, 0))
        assert record.area == expected["area"]
        assert record.predicted_iou == expected["predicted_iou"]
        assert record.stability_score == (0 if np.isnan(expected["stability_score"]) else expected["stability_score"])
        assert [list(point) for point in record.point_coords] == expected["point_coords"]
        assert list(record.crop_box) == expected["crop_box"]


def test_end_to_end_the_same_masks_in_the_same_order(run) -> None:
    """The two sides share the network here, so that nothing excuses a difference."""
    assert len(run.records) == len(run.expected) >= 20
    for record, expected in zip(run.records, run.expected, strict=True):
        assert same_mask(decode(record.rle), expected["segmentation"])
        assert record.point_coords[0] == pytest.approx(expected["point_coords"][0])
        assert list(record.crop_box) == expected["crop_box"]
        assert record.predicted_iou == pytest.approx(expected["predicted_iou"], abs=1e-5)


@pytest.mark.parametrize("architecture", ["tiny", "demo", "vit_b"])
def test_candidates_of_random_weights(architecture) -> None:
    """Noise over the whole picture: every cell holds a contour."""
    architecture = TINY if architecture == "tiny" else load_manifest()[architecture].architecture
    sam = random_sam(architecture)
    # Only the decoder's side is under test, and vit_b's encoder takes a minute.
    patch = architecture.patch_size
    sam.image_encoder = torch.nn.Conv2d(3, architecture.prompt_embed_dim, patch, patch)
    sam.image_encoder.img_size = architecture.image_size
    parameters = AutomaticParameters(
        points_per_side=3,
        pred_iou_thresh=0,
        stability_score_thresh=0.5,
        stability_score_offset=0.002,
        box_nms_thresh=1.0,
    )
    run = Run(sam, architecture, photograph(233, 170), parameters)
    check_candidates(concatenate(run.expected_candidates), concatenate(candidates_of(run)), run.size, parameters)


def test_shards_do_not_change_the_masks(sam) -> None:
    image, parameters = CASES["whole picture"]
    encoder, decoder = SamEncoder(sam, TINY), SamDecoder(sam, TINY)
    size = image.shape[:2]
    (crop,) = plan_crops(size, parameters)
    prepared = decoder.prepare(encode_crop(encoder, image, crop.box))
    expected = merge(
        [merge_crop([decode_points(decoder, prepared, crop.box, size, crop.points, parameters.decoding)], parameters)],
        size,
        parameters,
    )
    for cuts in ([1], [7, 31, 32], [64, 90]):
        shards = [
            decode_points(decoder, prepared, crop.box, size, points, parameters.decoding)
            for points in np.split(crop.points, cuts)
        ]
        records = merge([merge_crop(shards, parameters)], size, parameters)
        assert [record.point_coords for record in records] == [record.point_coords for record in expected]
        assert [record.area for record in records] == pytest.approx([record.area for record in expected], abs=2)


def test_min_mask_area_leaves_out_whole_masks(sam) -> None:
    image, parameters = CASES["whole picture"]
    encoder, decoder = SamEncoder(sam, TINY), SamDecoder(sam, TINY)
    every = generate(encoder, decoder, image, parameters)
    median = int(np.median([record.area for record in every]))
    large = generate(encoder, decoder, image, replace(parameters, min_mask_area=median))
    assert [record.area for record in large] == [record.area for record in every if record.area >= median]
    assert 0 < len(large) < len(every)


def test_progress_counts_points(sam) -> None:
    image, parameters = CASES["crops"]
    seen = []
    generate(
        SamEncoder(sam, TINY), SamDecoder(sam, TINY), image, parameters, lambda done, total: seen.append((done, total))
    )
    total = sum(len(crop.points) for crop in plan_crops(image.shape[:2], parameters))
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (37, 4000), (3, 2)])
def test_odd_pictures(sam, size) -> None:
    parameters = replace(BASE, points_per_side=3, pred_iou_thresh=0, stability_score_thresh=0, crop_n_layers=2)
    records = generate(SamEncoder(sam, TINY), SamDecoder(sam, TINY), gradient(*size), parameters)
    assert records
    for record in records:
        mask = decode(record.rle)
        assert mask.shape == size
        assert record.area == mask.sum()
        x, y, width, height = record.bbox
        assert mask[y : y + height, x : x + width].sum() == record.area
        assert (min(width, height) >= 1) == (record.area > 0)


def test_nothing_passes(sam) -> None:
    parameters = replace(BASE, pred_iou_thresh=1.0, crop_n_layers=1, min_mask_region_area=10)
    assert generate(SamEncoder(sam, TINY), SamDecoder(sam, TINY), photograph(100, 90), parameters) == []


def test_a_layer_without_points_is_skipped() -> None:
    parameters = AutomaticParameters(points_per_side=1, crop_n_layers=1, crop_n_points_downscale_factor=2)
    assert [crop.layer for crop in plan_crops((50, 50), parameters)] == [0]


def test_a_crop_without_candidates(sam) -> None:
    some = candidate_squares([(10, 10, 30, 30), (60, 60, 90, 90)], (100, 100))
    merged = merge([merge_crop([some], BASE), merge_crop([], BASE)], (100, 100), BASE)
    assert len(merged) == 2
    assert len(merge_crop([no_candidates()], BASE)) == 0
    assert merge([], (100, 100), replace(BASE, min_mask_region_area=5)) == []


def candidate_squares(boxes, size):
    masks = []
    for x0, y0, x1, y1 in boxes:
        mask = np.zeros(size, bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
        masks.append(mask)
    count = len(boxes)
    return Candidates(
        counts=tuple(encode(mask).counts for mask in masks),
        boxes=np.array(boxes, np.int64),
        predicted_iou=np.linspace(0.9, 0.8, count, dtype=np.float32),
        stability_score=np.ones(count, np.float32),
        points=np.zeros((count, 2)),
        areas=np.array([mask.sum() for mask in masks]),
        crop_boxes=np.tile(np.array([0, 0, size[1], size[0]]), (count, 1)),
    )


def test_masks_of_smaller_crops_win() -> None:
    squares = candidate_squares([(10, 10, 40, 40), (10, 10, 40, 41)], (100, 100))
    crop_boxes = squares.crop_boxes.copy()
    crop_boxes[1] = 0, 0, 60, 60
    candidates = replace(squares, crop_boxes=crop_boxes)
    (record,) = merge([candidates], (100, 100), replace(BASE, crop_n_layers=1))
    assert record.crop_box == (0, 0, 60, 60)


def test_one_pixel_masks_keep_their_pixel() -> None:
    squares = candidate_squares([(5, 7, 5, 7), (0, 0, 0, 0)], (20, 20))
    records = merge([squares], (20, 20), BASE)
    assert [(record.bbox, record.area) for record in records] == [((5, 7, 1, 1), 1), ((0, 0, 1, 1), 1)]


def test_a_large_points_per_batch_is_capped(sam) -> None:
    decoder = SamDecoder(sam, TINY)
    sizes = []

    class Spy:
        architecture, runtime, workers = decoder.architecture, decoder.runtime, decoder.workers
        prepare = decoder.prepare

        def decode(self, image, tokens, **options):
            sizes.append(len(tokens))
            return decoder.decode(image, tokens, **options)

    image = photograph(64, 64)
    generate(SamEncoder(sam, TINY), Spy(), image, replace(BASE, points_per_batch=100_000))
    assert sizes == [64, 36]
