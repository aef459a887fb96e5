"""Each rule on masks whose result is known."""

from typing import Any

import numpy as np
import pytest
from drawn_masks import Samples, blob, disc, mask_set
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

from analysis import Analysis, analyze, resolve_rules
from analysis.masks.overlaps import overlapping_pairs
from analysis.rules.clean import clean
from analysis.rules.parameters import Clean
from segmentation.errors import InvalidRequest

SIZE = (120, 160)


def run(*masks: NDArray[np.bool_], scores: list[float] | None = None, picture: Any = None, **rules: Any) -> Analysis:
    return analyze(mask_set(*masks), rules=resolve_rules("none", rules), predicted_iou=scores, picture=picture)


def dropped(result: Analysis) -> dict[str, int]:
    return {one.rule: one.count for one in result.dropped}


def test_the_background_goes() -> None:
    objects = [disc(SIZE, 40, 40, 20), disc(SIZE, 100, 60, 25)]
    around = ~np.any(objects, axis=0)
    result = run(*objects, around, np.ones(SIZE, np.bool_), background="drop")
    assert dropped(result) == {"background": 2}
    assert sorted(result.sources) == [0, 1]
    band = np.zeros(SIZE, np.bool_)
    band[50:60] = True
    assert len(run(band, background="drop")) == 1, "a fibre from side to side is an object"


def test_cleaning_fills_holes_and_drops_islands_like_scipy() -> None:
    random = np.random.default_rng(1)
    masks = [blob((60, 70), random) for _ in range(80)]
    for limit in (3, 40, 10**6):
        cleaned = clean(mask_set(*masks), Clean(limit, limit))
        for index, mask in enumerate(masks):
            crop, x, y = cleaned.crop(index)
            got = np.zeros_like(mask)
            got[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
            np.testing.assert_array_equal(got, _cleaned(mask, limit), err_msg=f"{index} {limit}")


def _cleaned(mask: NDArray[np.bool_], limit: int) -> NDArray[np.bool_]:
    filled = mask.copy()
    holes, count = label(binary_fill_holes(mask) & ~mask)
    for number in range(1, count + 1):
        if (holes == number).sum() < limit:
            filled |= holes == number
    parts, count = label(filled, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    keep = [number + 1 for number in range(count) if sizes[number] >= limit]
    if not keep and count:
        largest = [number + 1 for number in range(count) if sizes[number] == sizes.max()]
        first = parts.T[np.isin(parts.T, largest)][0]
        keep = [int(first)]
    result: NDArray[np.bool_] = np.isin(parts, keep)
    return result


def test_masks_at_the_edge_are_dropped_or_marked() -> None:
    masks = [disc(SIZE, 5, 50, 10), disc(SIZE, 16, 90, 10), disc(SIZE, 80, 60, 10)]
    marked = run(*masks, edge={"margin": 6, "action": "mark"})
    assert [bool(marked.touches_edge[list(marked.sources).index(one)]) for one in range(3)] == [True, True, False]
    assert dropped(run(*masks, edge={"margin": 6, "action": "drop"})) == {"edge": 2}
    assert dropped(run(*masks, edge={"action": "drop"})) == {"edge": 1}


def test_masks_in_distant_pieces_go() -> None:
    near = disc(SIZE, 40, 40, 8) | disc(SIZE, 60, 40, 8)
    far = disc(SIZE, 20, 80, 8) | disc(SIZE, 120, 80, 8)
    result = run(near, far, parts={"max_distance": 50})
    assert dropped(result) == {"parts": 1}
    assert list(result.sources) == [0]
    specks = np.zeros(SIZE, np.bool_)
    specks[::3, ::3] = True
    distance = run(specks).measurements.columns["parts_distance"][0]
    assert distance == pytest.approx(np.hypot(117, 159), rel=0.002)


def test_duplicates_keep_what_is_asked_for() -> None:
    masks = [disc(SIZE, 60, 60, 20), disc(SIZE, 60, 60, 19), disc(SIZE, 60, 60, 5), disc(SIZE, 110, 60, 20)]
    scores = [0.5, 0.9, 0.7, 0.6]
    by_iou = {"measure": "iou", "threshold": 0.8}
    assert set(run(*masks, scores=scores, duplicates={**by_iou, "keep": "larger"}).sources) == {0, 2, 3}
    assert set(run(*masks, scores=scores, duplicates={**by_iou, "keep": "smaller"}).sources) == {1, 2, 3}
    assert set(run(*masks, scores=scores, duplicates={**by_iou, "keep": "score"}).sources) == {1, 2, 3}
    inside = {"measure": "overlap", "threshold": 0.9}
    assert set(run(*masks, scores=scores, duplicates={**inside, "keep": "larger"}).sources) == {0, 3}
    assert set(run(*masks, scores=scores, duplicates={**inside, "keep": "smaller"}).sources) == {2, 3}
    assert set(run(*masks, duplicates={**inside, "keep": "score"}).sources) == {0, 3}, "the larger without scores"


def test_overlaps_equal_those_of_arrays() -> None:
    random = np.random.default_rng(4)
    masks = [blob(SIZE, random) for _ in range(12)]
    masks += [disc(SIZE, *random.uniform(0, 120, 2), random.uniform(1, 40)) for _ in range(40)]
    masks = [mask for mask in masks if mask.any()]
    packed = mask_set(*masks)
    for measure in ("iou", "overlap"):
        for threshold in (0.0, 0.3, 0.9):
            pairs, values = overlapping_pairs(packed, packed.areas(), packed.boxes(), measure, threshold)  # type: ignore[arg-type]
            expected = {}
            for i, a in enumerate(masks):
                for j in range(i + 1, len(masks)):
                    common = int((a & masks[j]).sum())
                    whole = (a | masks[j]).sum() if measure == "iou" else min(a.sum(), masks[j].sum())
                    if common and common / whole >= threshold:
                        expected[i, j] = common / whole
            assert {tuple(pair): value for pair, value in zip(pairs.tolist(), values, strict=True)} == expected


def test_filters_are_in_the_scales_unit_and_may_ask_for_pixels() -> None:
    masks = [disc(SIZE, 40, 60, 10), disc(SIZE, 100, 60, 30)]
    assert len(run(*masks, filters=[{"property": "equivalent_diameter", "min": 25, "max": 100}])) == 1
    assert len(run(*masks, filters=[{"property": "area_px", "max": 400}])) == 1
    assert dropped(run(*masks, filters=[{"property": "edge_distance", "min": 200}])) == {"filters": 2}
    levels = Samples(np.where(masks[0], 200, 10).astype(np.uint8))
    bright = run(*masks, picture=levels, filters=[{"property": "brightness", "min": 0.7}])
    assert list(bright.sources) == [0]
    line = np.zeros(SIZE, np.bool_)
    line[40, 20:60] = True
    assert len(run(line, filters=[{"property": "aspect_ratio", "min": 0}])) == 0, "no value is in no range"


def test_a_filter_of_a_group_leaves_the_others_alone() -> None:
    masks = [disc(SIZE, 20 + 25 * number, 20, 5) for number in range(5)] + [
        disc(SIZE, 60, 80, 25),
        disc(SIZE, 120, 80, 26),
    ]
    levels = Samples(np.where(masks[1], 220, 30).astype(np.uint8))
    small = [{"property": "intensity_mean", "min": 100, "group": "small"}]
    result = run(*masks, picture=levels, groups={"count": 2}, filters=small)
    assert sorted(result.sources) == [1, 5, 6]
    assert [(group.name, group.count) for group in result.groups] == [("small", 1), ("large", 2)]


def test_nesting_is_a_tree_with_labels() -> None:
    outer, middle, inner = disc(SIZE, 60, 60, 50), disc(SIZE, 50, 60, 25), disc(SIZE, 50, 60, 8)
    second, alone = disc(SIZE, 92, 60, 10), disc(SIZE, 140, 20, 9)
    result = run(inner, middle, outer, second, alone, nesting={"threshold": 0.9})
    objects = result.objects()
    by_source = {int(source): one for source, one in zip(result.sources, objects, strict=True)}
    assert by_source[2]["children"] == sorted([by_source[1]["id"], by_source[3]["id"]])
    assert [by_source[index]["depth"] for index in range(5)] == [2, 1, 0, 1, 0]
    assert by_source[0]["parent"] == by_source[1]["id"]
    assert [by_source[index]["label"] for index in range(5)] == [None, "single", "double", None, "empty"]
    late = run(inner, middle, outer, second, alone, nesting={}, filters=[{"property": "children", "min": 1}])
    assert sorted(late.sources) == [1, 2]


def test_identical_masks_nest_without_a_cycle() -> None:
    result = run(*[disc(SIZE, 60, 60, 20)] * 4, nesting={})
    assert list(result.tree.parents) == [-1, 0, 1, 2]


def test_poisson_loading_is_told() -> None:
    masks = []
    for number in range(6):
        masks.append(disc(SIZE, 30 + 50 * (number % 3), 30 + 55 * (number // 3), 20))
        masks += [disc(SIZE, 30 + 50 * (number % 3) + 6 * k, 30 + 55 * (number // 3), 2.5) for k in range(number % 3)]
    result = analyze(mask_set(*masks), rules=resolve_rules("cells_in_droplets"), preset="cells_in_droplets")
    loading = result.summary["loading"]
    assert (loading["containers"], loading["contained"], loading["mean"]) == (6, 6, 1.0)
    shares = {row["label"]: (row["count"], row["expected_share"]) for row in loading["labels"]}
    assert {label: count for label, (count, _) in shares.items()} == {"empty": 2, "single": 2, "double": 2, "more": 0}
    assert shares["double"][1] == pytest.approx(np.exp(-1) / 2)


def test_monodisperse_drops_merged_droplets() -> None:
    masks = [disc(SIZE, 20 + 30 * (number % 5), 25 + 40 * (number // 5), 10 + 0.05 * number) for number in range(9)]
    masks.append(disc(SIZE, 140, 80, 14))
    result = run(*masks, monodisperse={"max_ratio": [1.3, 1.2]})
    assert dropped(result) == {"monodisperse": 1}
    assert 9 not in result.sources


def test_the_result_does_not_depend_on_the_run() -> None:
    random = np.random.default_rng(8)
    masks = [blob(SIZE, random) for _ in range(30)]
    first, second = (
        analyze(mask_set(*masks), rules=resolve_rules("objects", {"background": "keep"})) for _ in range(2)
    )
    assert first.to_json() == second.to_json()


def test_a_channel_that_there_is_not_is_named() -> None:
    picture = Samples(np.zeros((*SIZE, 2), np.uint8))
    with pytest.raises(InvalidRequest) as caught:
        run(disc(SIZE, 60, 60, 9), picture=picture, groups={"by": ["intensity_mean_2"]})
    assert caught.value.pointer == "/groups/by/0"
