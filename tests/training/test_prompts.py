"""Training prompts and samples: they show what they are said to show."""

import numpy as np
import pytest
import torch

from training.pool import make_pool, open_pool
from training.prompts import draw_prompts
from training.samples import LABELS, PADDING, Batch, draw_batch


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    folder = tmp_path_factory.mktemp("pool")
    make_pool(folder, count=3, workers=1)
    return draw_batch(np.random.default_rng(0), open_pool(folder), size=4, side=128)


def test_windows_are_padded_at_bottom_and_right(batch: Batch) -> None:
    assert batch.images.shape == (4, 3, 128, 128)
    assert batch.parents.shape == (4, LABELS)
    padded = (batch.labels == PADDING).numpy()
    for window in padded:
        assert (np.maximum.accumulate(window, axis=0) == window).all()
        assert (np.maximum.accumulate(window, axis=1) == window).all()


def test_a_point_lies_in_all_its_targets(batch: Batch) -> None:
    prompts = draw_prompts(np.random.default_rng(1), batch, 8, "point")
    assert prompts.points is not None
    for row, (x, y) in enumerate(prompts.points[:, 0].long().tolist()):
        label = int(batch.labels[row // 8, y, x])
        assert prompts.targets[row, :, label].all()
        assert prompts.goal[row, label]


def test_a_box_is_around_its_object(batch: Batch) -> None:
    prompts = draw_prompts(np.random.default_rng(2), batch, 8, "box")
    assert prompts.boxes is not None
    for row, (x0, y0, x1, y1) in enumerate(prompts.boxes.tolist()):
        rows, columns = torch.nonzero(prompts.goal[row][batch.labels[row // 8].long()], as_tuple=True)
        slack = 15 + 1
        assert abs(x0 - int(columns.min())) < slack
        assert abs(x1 - int(columns.max())) < slack
        assert abs(y0 - int(rows.min())) < slack
        assert abs(y1 - int(rows.max())) < slack


def test_a_negative_point_lies_outside_the_goal(batch: Batch) -> None:
    prompts = draw_prompts(np.random.default_rng(3), batch, 16, "pair")
    assert prompts.points is not None
    assert prompts.labels is not None
    assert 0 < prompts.labels[:, 1].mean() < 1
    for row in range(len(prompts.points)):
        for (x, y), label in zip(prompts.points[row].long().tolist(), prompts.labels[row].tolist(), strict=True):
            assert bool(prompts.goal[row, int(batch.labels[row // 16, y, x])]) == bool(label)
