import numpy as np
import pytest
from oracle import TINY

from segmentation.errors import InvalidRequest
from segmentation.prompts import tokenize, validate_prompt
from segmentation.types import Prompt

SIZE = (48, 64)
SIDE = TINY.low_res_side


def points(*coords, labels=None):
    labels = [1] * len(coords) if labels is None else labels
    return {"points": np.array(coords, np.float32).reshape(-1, 2), "labels": np.array(labels, np.int64)}


def box(*sides):
    return np.array(sides, np.float32)


def pointer_of(prompt):
    with pytest.raises(InvalidRequest) as caught:
        validate_prompt(prompt, SIZE, SIDE, "/prompts/3")
    return caught.value.pointer.removeprefix("/prompts/3")


def test_points_on_the_border_are_inside() -> None:
    prompt = Prompt(**points((0, 0), (64, 48)))
    assert validate_prompt(prompt, SIZE, SIDE, "") is prompt


@pytest.mark.parametrize("bad", [(-1.1, 5), (65.1, 5), (5, 49.5), (float("nan"), 5), (5, float("inf"))])
def test_a_point_outside_is_named(bad) -> None:
    assert pointer_of(Prompt(**points((1, 1), bad))) == "/points/1"


def test_labels_must_match() -> None:
    assert pointer_of(Prompt(**points((1, 1), (2, 2), labels=[1]))) == "/labels"
    assert pointer_of(Prompt(**points((1, 1), (2, 2), labels=[1, 2]))) == "/labels/1"
    assert pointer_of(Prompt(**points((1, 1), labels=[-1]))) == "/labels/0"
    assert pointer_of(Prompt(**points(labels=[1]), box=box(1, 1, 5, 5))) == "/labels"


def test_points_must_be_pairs() -> None:
    prompt = Prompt(points=np.zeros((2, 3), np.float32), labels=np.ones(2, np.int64))
    assert pointer_of(prompt) == "/points"


def test_an_empty_prompt_is_named() -> None:
    assert pointer_of(Prompt()) == ""


@pytest.mark.parametrize(
    "bad",
    [
        box(10, 10, 10, 20),
        box(64, 0, 80, 20),
        box(-20, 0, 0, 20),
        box(0, 48, 5, 60),
        box(0, 0, float("nan"), 5),
        box(0, 0, float("inf"), 5),
        box(0, 0, 5),
    ],
)
def test_a_bad_box_is_named(bad) -> None:
    assert pointer_of(Prompt(box=bad)) == "/box"


def test_points_just_outside_are_on_the_edge() -> None:
    prompt = validate_prompt(Prompt(**points((-0.3, 5), (64.4, 48.9))), SIZE, SIDE, "")
    np.testing.assert_array_equal(prompt.points, [[0, 5], [64, 48]])
    assert prompt.points.dtype == np.float32


@pytest.mark.parametrize("corners", [(30, 40, 10, 20), (10, 40, 30, 20), (30, 20, 10, 40)])
def test_a_box_may_be_drawn_from_any_corner(corners) -> None:
    prompt = validate_prompt(Prompt(box=box(*corners)), SIZE, SIDE, "")
    np.testing.assert_array_equal(prompt.box, [10, 20, 30, 40])


def test_a_box_is_clipped() -> None:
    prompt = validate_prompt(Prompt(box=box(-5, 10, 500, 47)), SIZE, SIDE, "")
    assert prompt.box is not None
    np.testing.assert_array_equal(prompt.box, [0, 10, 64, 47])
    assert prompt.box.dtype == np.float32


def test_mask_input_is_checked() -> None:
    assert pointer_of(Prompt(mask_input=np.zeros((SIDE, SIDE + 1), np.float32))) == "/mask_input"
    assert pointer_of(Prompt(mask_input=np.full((SIDE, SIDE), np.nan, np.float32))) == "/mask_input"


def test_tokens_follow_sams_padding_rule() -> None:
    mask = np.zeros((SIDE, SIDE), np.float32)
    prompts = [
        Prompt(**points((32, 24))),
        Prompt(box=box(0, 0, 64, 48)),
        Prompt(**points((1, 2), (3, 4), labels=[1, 0]), box=box(0, 0, 8, 8)),
        Prompt(mask_input=mask),
        Prompt(**points((16, 8), labels=[0])),
        Prompt(**points((1, 1)), mask_input=mask),
    ]
    groups = {tuple(indices): tokens for indices, tokens in tokenize(prompts, SIZE, TINY)}
    assert set(groups) == {(0, 4), (1,), (2,), (3,), (5,)}

    # 64 pixels become 128 in the input frame.
    single = groups[0, 4]
    np.testing.assert_array_equal(single.coords, [[[64, 48], [0, 0]], [[32, 16], [0, 0]]])
    np.testing.assert_array_equal(single.labels, [[1, -1], [0, -1]])
    assert single.coords.dtype == np.float32
    assert single.mask_input is None
    np.testing.assert_array_equal(groups[1,].coords, [[[0, 0], [128, 96]]])
    np.testing.assert_array_equal(groups[1,].labels, [[2, 3]])
    np.testing.assert_array_equal(groups[2,].labels, [[1, 0, 2, 3]])
    assert groups[3,].coords.shape == (1, 0, 2)
    assert groups[3,].mask_input is not None
    assert groups[3,].mask_input.shape == (1, SIDE, SIDE)
    np.testing.assert_array_equal(groups[5,].labels, [[1, -1]])


def test_no_prompts_no_tokens() -> None:
    assert tokenize([], SIZE, TINY) == []
