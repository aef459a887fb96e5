import inspect
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from segment_anything import SamAutomaticMaskGenerator

from segmentation.automatic.generate import plan_crops
from segmentation.automatic.parameters import PERFORMANCE, QUALITY, AutomaticParameters, with_overrides
from segmentation.errors import InvalidRequest


def test_names_and_defaults_are_the_references() -> None:
    reference = inspect.signature(SamAutomaticMaskGenerator).parameters
    expected = {name: entry.default for name, entry in reference.items() if name not in ("model", "output_mode")}
    ours = asdict(AutomaticParameters())
    assert ours.pop("min_mask_area") == 0
    assert ours == expected


def test_the_profiles() -> None:
    assert (QUALITY.points_per_side, QUALITY.pred_iou_thresh, QUALITY.stability_score_thresh) == (32, 0.88, 0.95)
    assert (QUALITY.crop_n_layers, QUALITY.crop_n_points_downscale_factor, QUALITY.min_mask_region_area) == (2, 2, 100)
    assert (PERFORMANCE.points_per_side, PERFORMANCE.pred_iou_thresh) == (16, 0.80)
    assert (PERFORMANCE.stability_score_thresh, PERFORMANCE.crop_n_layers) == (0.90, 1)
    assert (PERFORMANCE.crop_n_points_downscale_factor, PERFORMANCE.min_mask_region_area) == (2, 500)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points_per_side", 0),
        ("points_per_side", 2.5),
        ("points_per_side", True),
        ("points_per_side", "32"),
        ("points_per_batch", 0),
        ("pred_iou_thresh", -0.1),
        ("pred_iou_thresh", 1.5),
        ("stability_score_thresh", float("nan")),
        ("stability_score_thresh", None),
        ("stability_score_offset", -1.0),
        ("stability_score_offset", float("inf")),
        ("box_nms_thresh", 7),
        ("crop_n_layers", -1),
        ("crop_nms_thresh", -0.5),
        ("crop_overlap_ratio", 1.5),
        ("crop_n_points_downscale_factor", 0),
        ("min_mask_region_area", -1),
        ("min_mask_area", -1),
        ("nonsense", 1),
    ],
)
def test_a_bad_value_is_named(name, value) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_overrides(QUALITY, {name: value})
    assert caught.value.pointer == f"/{name}"


def test_point_grids_take_the_place_of_points_per_side() -> None:
    grid = np.array([[0.25, 0.5], [0.75, 0.5]])
    parameters = with_overrides(AutomaticParameters(), {"point_grids": [grid]})
    assert parameters.points_per_side is None
    assert parameters.point_grids == (((0.25, 0.5), (0.75, 0.5)),)


@pytest.mark.parametrize(
    ("overrides", "pointer"),
    [
        ({"point_grids": [[[0.5, 0.5]]], "points_per_side": 8}, "/point_grids"),
        ({"points_per_side": None}, "/point_grids"),
        ({"point_grids": []}, "/point_grids"),
        ({"point_grids": [[[0.5, 0.5]]], "crop_n_layers": 1}, "/point_grids"),
        ({"point_grids": [[[0.5, 0.5], [0.5, 1.1]]]}, "/point_grids/0/1"),
        ({"point_grids": [[[0.5]]]}, "/point_grids/0/0"),
        ({"point_grids": [[[0.5, float("nan")]]]}, "/point_grids/0/0"),
        ({"point_grids": [[0.5, 0.5]]}, "/point_grids/0/0"),
    ],
)
def test_bad_point_grids_are_named(overrides, pointer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        with_overrides(AutomaticParameters(), overrides)
    assert caught.value.pointer == pointer


def test_unnamed_values_stay_the_profiles() -> None:
    parameters = with_overrides(PERFORMANCE, {"crop_n_layers": 0})
    assert {
        field.name
        for field in fields(parameters)
        if getattr(parameters, field.name) != getattr(PERFORMANCE, field.name)
    } == {"crop_n_layers"}


@pytest.mark.parametrize(
    ("request_", "total"),
    [
        ({"points_per_side": 64, "crop_n_layers": 3, "crop_n_points_downscale_factor": 1}, 348_160),
        ({"points_per_side": 64, "crop_n_layers": 3, "crop_n_points_downscale_factor": 2}, 16_384),
        ({"points_per_side": 32, "crop_n_layers": 0}, 1024),
        ({"points_per_side": None, "point_grids": [[[0.5, 0.5]] * 3, [[0.5, 0.5]] * 2], "crop_n_layers": 1}, 11),
    ],
)
def test_points_are_counted_over_all_crops(request_: dict[str, Any], total: int) -> None:
    parameters = AutomaticParameters(**request_)
    assert parameters.total_points == total
    assert sum(len(crop.points) for crop in plan_crops((2000, 2000), parameters)) == total
