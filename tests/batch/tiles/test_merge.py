"""Objects across seams are found once and whole."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from batch.tiles import runs as run_math
from batch.tiles.merge import TileMask, merge
from batch.tiles.runs import Runs
from batch.tiles.windows import Window, plan_windows

SIZE = (300, 400)


def runs_of(mask: NDArray[np.bool_]) -> Runs:
    """Runs of a mask in its own frame, cut at columns."""
    padded = np.pad(mask, ((1, 1), (0, 0))).T
    edges = np.diff(padded.astype(np.int8), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    height = mask.shape[0]
    return np.stack([starts[:, 0] * height + starts[:, 1], ends[:, 0] * height + ends[:, 1]], axis=1)


def mask_of(runs: Runs) -> NDArray[np.bool_]:
    flat = np.zeros(SIZE[0] * SIZE[1], np.bool_)
    for start, end in runs:
        assert not flat[start:end].any()
        flat[start:end] = True
    return flat.reshape(SIZE[1], SIZE[0]).T


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def seen(objects: list[NDArray[np.bool_]], windows: list[Window]) -> list[TileMask]:
    """What a perfect model finds in each window."""
    found = []
    for number, window in enumerate(windows):
        for index, whole in enumerate(objects):
            part = whole[window.y0 : window.y1, window.x0 : window.x1]
            if part.any():
                runs = run_math.place_runs(runs_of(part), window, SIZE[0])
                found.append(
                    TileMask(number, runs, run_math.box(runs, SIZE[0]), run_math.area(runs), 0.9 - 0.01 * index, 0.9)
                )
    return found


@pytest.mark.parametrize(("tile", "halo"), [(128, 48), (100, 30), (300, 0)])
def test_discs_on_seams_and_corners_come_once_and_whole(tile: int, halo: int) -> None:
    windows = plan_windows(SIZE, tile, halo)
    objects = [disc(x, y, 9) for x in range(15, 390, 24) for y in range(15, 290, 24)]
    merged = merge(seen(objects, windows), windows, SIZE)
    if halo >= 30:
        assert len(merged) == len(objects)
        found = {mask_of(mask.runs).tobytes() for mask in merged}
        assert found == {whole.tobytes() for whole in objects}
    else:
        assert len(merged) >= len(objects)


def test_an_object_larger_than_every_window_is_the_union_of_its_parts() -> None:
    windows = plan_windows(SIZE, 100, 30)
    bar = np.zeros(SIZE, np.bool_)
    bar[140:160, 5:395] = True
    bar[20:280, 200:215] = True
    merged = merge(seen([bar], windows), windows, SIZE)
    assert len(merged) == 1
    assert np.array_equal(mask_of(merged[0].runs), bar)
    assert merged[0].area == bar.sum()


def test_objects_that_touch_stay_two() -> None:
    windows = plan_windows(SIZE, 128, 48)
    objects = [np.zeros(SIZE, np.bool_) for _ in range(2)]
    objects[0][100:130, 90:110] = True
    objects[1][100:130, 110:130] = True
    assert len(merge(seen(objects, windows), windows, SIZE)) == 2


def test_windows_cover_the_picture_and_share_the_halo() -> None:
    windows = plan_windows((1000, 777), 256, 64)
    covered = np.zeros((1000, 777), np.int64)
    for window in windows:
        assert window.size == (256, 256)
        covered[window.y0 : window.y1, window.x0 : window.x1] += 1
    assert covered.min() >= 1
    rows = sorted({window.y0 for window in windows})
    assert all(first + 256 - second >= 64 for first, second in pairwise(rows))
    assert plan_windows((100, 100), 256, 64) == [Window(0, 0, 100, 100)]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_unions_and_clips_are_those_of_arrays(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.random(SIZE) > rng.uniform(0.2, 0.999) for _ in range(2))
    window = Window(37, 50, 130, 222)
    both = run_math.union([runs_of(a), runs_of(b)], SIZE[0])
    assert np.array_equal(mask_of(both), a | b)
    inside = np.zeros(SIZE, np.bool_)
    inside[window.y0 : window.y1, window.x0 : window.x1] = True
    clipped = run_math.clip(runs_of(a), window, SIZE[0])
    assert np.array_equal(mask_of(clipped), a & inside)
    union = (a | b).sum()
    expected = (a & b).sum() / union if union else 0
    assert run_math.agreement(runs_of(a), runs_of(b), SIZE[0]) == pytest.approx(expected)
