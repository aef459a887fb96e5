"""Prompts: what a caller may ask, and the tokens the decoder takes. Knows frames and SAM's padding rule, no runtime."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidRequest
from segmentation.transforms import to_input_frame
from segmentation.types import Prompt, PromptTokens, Size
from segmentation.weights.architecture import Architecture

PADDING_LABEL = -1
BOX_LABELS = (2, 3)


MARGIN = 1.0
"""Pixels by which a point may lie outside the picture; it is taken for one on the edge."""
MAX_LOGIT = 1e6
"""Of a `mask_input`. SAM's own are some tens; the prompt encoder overflows far beyond."""


def validate_prompt(prompt: Prompt, size: Size, low_res_side: int, pointer: str) -> Prompt:
    """The prompt with its points and its box clipped to the picture, and the box from its upper left corner.

    Points and boxes follow one rule: what lies outside the picture is moved to its edge. It is refused where that
    would change what is meant: a point more than `MARGIN` outside, and a box of which nothing is inside.

    Args:
        size: of the picture; its points have 0 <= x <= width, 0 <= y <= height.
        low_res_side: side of `mask_input`.
        pointer: JSON pointer of the prompt, e.g. `/prompts/0`.

    Raises:
        InvalidRequest: names the first offending field by its pointer.
    """
    if not len(prompt.points) and prompt.box is None and prompt.mask_input is None:
        raise InvalidRequest("a prompt needs at least one of points, box and mask_input", pointer)
    _check_points(prompt, size, pointer)
    if prompt.mask_input is not None:
        _check_mask_input(prompt.mask_input, low_res_side, f"{pointer}/mask_input")
    points = np.clip(prompt.points, 0, np.array((size[1], size[0]), np.float32)).astype(np.float32)
    if not np.array_equal(points, prompt.points):
        prompt = replace(prompt, points=points)
    if prompt.box is None:
        return prompt
    return replace(prompt, box=_clip_box(prompt.box, size, f"{pointer}/box"))


def validate_prompts(prompts: Sequence[Prompt], size: Size, low_res_side: int) -> tuple[Prompt, ...]:
    """The prompts of a request with their boxes clipped to the picture; arguments as `validate_prompt`.

    Raises:
        InvalidRequest: names the first offending field, under `/prompts/<index>`.
    """
    return tuple(
        validate_prompt(prompt, size, low_res_side, f"/prompts/{index}") for index, prompt in enumerate(prompts)
    )


def tokenize(prompts: Sequence[Prompt], size: Size, architecture: Architecture) -> list[tuple[list[int], PromptTokens]]:
    """Batches of prompts with the same token structure, each with its prompts' positions in `prompts`.

    Tokens are, as in SAM's prompt encoder: the points, then a padding point if there is no box, then the box's corners.
    Prompts of unlike structure are never padded to fit one batch, because every further token changes the answer.
    """
    groups: dict[tuple[int, bool, bool], list[int]] = {}
    for index, prompt in enumerate(prompts):
        structure = (len(prompt.points), prompt.box is not None, prompt.mask_input is not None)
        groups.setdefault(structure, []).append(index)
    return [
        (indices, _tokens([prompts[index] for index in indices], size, architecture)) for indices in groups.values()
    ]


def _tokens(prompts: Sequence[Prompt], size: Size, architecture: Architecture) -> PromptTokens:
    first = prompts[0]
    coords = [np.stack([prompt.points for prompt in prompts])]
    labels = [np.stack([prompt.labels for prompt in prompts])]
    if first.box is not None:
        coords.append(np.stack([prompt.box for prompt in prompts if prompt.box is not None]).reshape(-1, 2, 2))
        labels.append(np.tile(np.array(BOX_LABELS, np.int64), (len(prompts), 1)))
    elif len(first.points):
        coords.append(np.zeros((len(prompts), 1, 2), np.float32))
        labels.append(np.full((len(prompts), 1), PADDING_LABEL, np.int64))
    masks = [prompt.mask_input for prompt in prompts if prompt.mask_input is not None]
    return PromptTokens(
        coords=to_input_frame(np.concatenate(coords, axis=1), size, architecture.frame).astype(np.float32),
        labels=np.concatenate(labels, axis=1).astype(np.int64),
        mask_input=np.stack(masks).astype(np.float32) if masks else None,
    )


def _check_points(prompt: Prompt, size: Size, pointer: str) -> None:
    height, width = size
    if prompt.points.ndim != 2 or prompt.points.shape[1] != 2:
        raise InvalidRequest("points must be a list of [x, y]", f"{pointer}/points")
    if prompt.labels.shape != (len(prompt.points),):
        raise InvalidRequest(
            f"labels must be one per point: {prompt.labels.size} for {len(prompt.points)} points", f"{pointer}/labels"
        )
    # NaN fails every comparison, so it counts as outside.
    inside = np.all((prompt.points >= -MARGIN) & (prompt.points <= (width + MARGIN, height + MARGIN)), axis=1)
    if not inside.all():
        index = int(np.argmin(inside))
        raise InvalidRequest(f"a point must lie in 0 <= x <= {width}, 0 <= y <= {height}", f"{pointer}/points/{index}")
    known = (prompt.labels == 0) | (prompt.labels == 1)
    if not known.all():
        index = int(np.argmin(known))
        raise InvalidRequest("a label is 1 (foreground) or 0 (background)", f"{pointer}/labels/{index}")


def _check_mask_input(mask_input: NDArray[np.float32], low_res_side: int, pointer: str) -> None:
    if mask_input.shape != (low_res_side, low_res_side):
        raise InvalidRequest(
            f"mask_input must have shape ({low_res_side}, {low_res_side}), not {mask_input.shape}", pointer
        )
    if not (np.abs(mask_input) <= MAX_LOGIT).all():  # NaN fails every comparison
        raise InvalidRequest(f"mask_input must hold finite logits of at most {MAX_LOGIT:g}", pointer)


def _clip_box(box: NDArray[np.float32], size: Size, pointer: str) -> NDArray[np.float32]:
    height, width = size
    if box.shape != (4,) or not np.isfinite(box).all():
        raise InvalidRequest("a box is four finite numbers [x0, y0, x1, y1]", pointer)
    if box[0] == box[2] or box[1] == box[3]:
        raise InvalidRequest("a box needs two corners that differ in x and in y", pointer)
    corners = box.reshape(2, 2)
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    clipped = np.clip(box, 0, np.array((width, height, width, height), np.float32))
    if not (clipped[0] < clipped[2] and clipped[1] < clipped[3]):
        raise InvalidRequest(f"the box lies outside the picture of {width} x {height} pixels", pointer)
    return clipped.astype(np.float32)
