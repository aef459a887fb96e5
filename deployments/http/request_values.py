"""The fields of a request as the core takes them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deployments.calls.npy import from_base64_npy
from deployments.http.requests import AutomaticRequest, DecodeFields, ImageRequest, PromptFields, SegmentRequest
from deployments.settings.server import Settings
from segmentation.automatic.generate import (
    MAX_POINTS_PER_BATCH,
    PERFORMANCE,
    QUALITY,
    AutomaticParameters,
    with_overrides,
)
from segmentation.errors import InvalidRequest, LimitExceeded
from segmentation.pictures.options import DecodeOptions
from segmentation.types import Prompt


def to_decode_options(request: ImageRequest) -> DecodeOptions:
    """How the request wants its picture read.

    Raises:
        InvalidRequest: options that can't be.
    """
    fields = request.decode or DecodeFields()
    if fields.range is not None and len(fields.range) != 2:
        raise InvalidRequest("range is two finite numbers, the lower one first", "/decode/range")
    return DecodeOptions(
        page=fields.page or 0,
        channels=None if fields.channels is None else tuple(fields.channels),
        scaling=fields.scaling,
        range=None if fields.range is None else (fields.range[0], fields.range[1]),
    )


def to_prompts(request: SegmentRequest, settings: Settings, low_res_side: int) -> tuple[Prompt, ...]:
    """The prompts as the core takes them.

    Raises:
        InvalidRequest: a field can't be read; `LimitExceeded` for too many prompts or points.
    """
    if len(request.prompts) > settings.max_prompts:  # of a request that was made here, and not parsed
        raise LimitExceeded(f"at most {settings.max_prompts} prompts in one request", "/prompts")
    return tuple(_prompt(prompt, f"/prompts/{index}", low_res_side) for index, prompt in enumerate(request.prompts))


def to_parameters(request: AutomaticRequest, settings: Settings) -> AutomaticParameters:
    """The profile with the request's own parameters over it.

    Raises:
        InvalidRequest: a value that can't be; `LimitExceeded` for one beyond the server's limits.
    """
    fast = settings.performance_mode if request.performance_mode is None else request.performance_mode
    other = {"image", "image_url", "image_id", "decode", "model", "performance_mode", "mask_format", "stream"}
    given = request.model_dump(exclude=other, exclude_none=True)
    if "point_grids" in given and "points_per_side" in given:
        raise InvalidRequest("give points_per_side or point_grids, not both", "/point_grids")
    parameters = with_overrides(PERFORMANCE if fast else QUALITY, given)
    if parameters.crop_n_layers > settings.max_crop_layers:
        raise LimitExceeded(f"at most {settings.max_crop_layers} crop layers", "/crop_n_layers")
    side = settings.max_points_per_side
    if (parameters.points_per_side or 0) > side:
        raise LimitExceeded(f"at most {side} points per side", "/points_per_side")
    for layer, grid in enumerate(parameters.point_grids or ()):
        if len(grid) > side * side:
            raise LimitExceeded(f"at most {side * side} points in a grid", f"/point_grids/{layer}")
    if parameters.total_points > settings.max_grid_points:
        raise LimitExceeded(
            f"at most {settings.max_grid_points} points over all crops, these are {parameters.total_points}; lower "
            "crop_n_layers, or raise crop_n_points_downscale_factor",
            "/point_grids" if parameters.point_grids is not None else "/points_per_side",
        )
    return replace(parameters, points_per_batch=min(parameters.points_per_batch, MAX_POINTS_PER_BATCH))


def _prompt(prompt: PromptFields, pointer: str, low_res_side: int) -> Prompt:
    points = prompt.points or []
    labels = [1] * len(points) if prompt.labels is None else prompt.labels
    if len(labels) != len(points):
        raise InvalidRequest(f"one label per point: {len(labels)} for {len(points)} points", f"{pointer}/labels")
    for index, label in enumerate(labels):
        if label not in {0, 1}:
            raise InvalidRequest("a label is 1 (foreground) or 0 (background)", f"{pointer}/labels/{index}")
    mask_input = None
    if prompt.mask_input is not None:
        mask_input = from_base64_npy(prompt.mask_input, (low_res_side, low_res_side), f"{pointer}/mask_input")
    return Prompt(
        points=_float32(points).reshape(-1, 2),
        labels=np.array(labels, np.int64),
        box=None if prompt.box is None else _float32(prompt.box),
        mask_input=mask_input,
    )


def _float32(values: Sequence[object]) -> NDArray[np.float32]:
    """The numbers as float32; beyond its range its ends stand for them, and no picture is as large."""
    limit = np.finfo(np.float32).max
    return np.array(values, np.float64).clip(-limit, limit).astype(np.float32)
