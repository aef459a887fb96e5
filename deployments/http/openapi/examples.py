"""Examples for `/openapi.json`: requests, answers, and one problem of every code. Tests send and compare them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from deployments.http.analysis_requests import AnalyzeRequest
from deployments.http.openapi import analysis_examples
from deployments.http.openapi.analysis_answers import AnalysisAnswerModel, PresetsAnswer
from deployments.http.openapi.answer_models import (
    AutomaticAnswer,
    BackendInfo,
    EmbeddingAnswer,
    Health,
    ModelList,
    PictureAnswer,
    SegmentAnswer,
)
from deployments.http.problems import Problem
from deployments.http.requests import AutomaticRequest, ImageRequest, SegmentRequest

DISC = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAYAQMAAAChnW13AAAABlBMVEUUFCjwyDxUTh3AAAAANUlEQVR42mNgwAbYDzAwMMh/YGBiUOBgYGJw"
    "YGFggkj8/wdhYRANcIkDfxiYGB78gJmCAwAAPyYKL6IvicYAAAAASUVORK5CYII="
)
"""A picture, 24 pixels high and 32 wide: a yellow disc on blue."""

IMAGE_ID_EXAMPLE = "s-5LCLaRyt1HmAsbz8jMoGQRfNae22bbxBnBP_9Q9g0"
REQUEST_ID_EXAMPLE = "4b0e7c8d5a5f4f0e9d0f6f3f8f3b2a11"

REQUESTS: Mapping[type[ImageRequest], Mapping[str, Mapping[str, Any]]] = {
    SegmentRequest: {
        "by_image": {
            "image": DISC,
            "prompts": [{"points": [[15, 11], [2, 2]], "labels": [1, 0]}, {"box": [7, 3, 24, 20]}],
            "mask_format": "polygon",
        },
        "by_id": {"image_id": IMAGE_ID_EXAMPLE, "prompts": [{"points": [[15, 11]]}], "multimask_output": False},
    },
    AutomaticRequest: {
        "by_image": {"image": DISC, "points_per_side": 8, "crop_n_layers": 0, "min_mask_area": 4, "mask_format": "png"},
        "by_id": {"image_id": IMAGE_ID_EXAMPLE, "performance_mode": True},
    },
    AnalyzeRequest: {
        "by_image": {
            "image": DISC,
            "prompts": [{"points": [[15, 11]]}],
            "scale": {"pixel_size": 0.65, "unit": "µm"},
            "preset": "droplets",
            "edge": None,
        },
        "by_id": {"image_id": IMAGE_ID_EXAMPLE, "preset": "none", "format": "csv"},
    },
    ImageRequest: {
        "by_image": {"image": DISC, "decode": {"page": 0}},
        "by_id": {"image_id": IMAGE_ID_EXAMPLE},
    },
}
"""By model and name; `/docs` proposes the first. `by_id` is also the `request` of a form, less its id."""

_TIMING = {"decode": 4.813, "encode": 183.642, "prompt": 14.264, "postprocess": 0.835, "queue": 0.042, "total": 251.977}
_MASK: dict[str, Any] = {
    "segmentation": {"size": [24, 32], "counts": "o52e0000000000000000Oo5"},
    "area": 165,
    "bbox": [8, 4, 15, 15],
    "predicted_iou": 0.94,
    "stability_score": 0.97,
}
_AUTOMATIC_MASK = {**_MASK, "point_coords": [[14.0, 10.5]], "crop_box": [0, 0, 32, 24]}
_PARAMETERS = {
    "points_per_side": 16, "points_per_batch": 64, "pred_iou_thresh": 0.8, "stability_score_thresh": 0.9,
    "stability_score_offset": 1.0, "box_nms_thresh": 0.7, "crop_n_layers": 1, "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 0.3413333333333333, "crop_n_points_downscale_factor": 2, "point_grids": None,
    "min_mask_region_area": 500, "min_mask_area": 0,
}  # fmt: skip
_DECODE = {"page": 0, "channels": [0, 1, 2], "scaling": None, "low": None, "high": None}
_PICTURE = {"image_id": IMAGE_ID_EXAMPLE, "size": [24, 32], "decode": _DECODE}

ANSWERS: Mapping[type[BaseModel], Mapping[str, Any]] = {
    SegmentAnswer: {**_PICTURE, "results": [{"masks": [_MASK]}], "timing_ms": _TIMING},
    AutomaticAnswer: {**_PICTURE, "masks": [_AUTOMATIC_MASK], "parameters": _PARAMETERS, "timing_ms": _TIMING},
    EmbeddingAnswer: {**_PICTURE, "model_type": "vit_h", "shape": [1, 256, 64, 64]},
    BackendInfo: {
        "backend": "onnx", "model_type": "demo", "models": ["demo", "vit_t"], "use_gpu": True,
        "performance_mode": False, "device": "cpu",
        "onnx_available": True, "pytorch_available": False, "onnx_providers": ["CPUExecutionProvider"],
        "precision": "int8",
        "quality": {"embedding_error": 0.014, "mask_iou": 0.986, "masks": 432, "pictures": "discs,tiles,coins"},
        "versions": {"sam-serve": "0.1.0", "onnxruntime": "1.31.1"},
        "limits": {"max_body_mb": 50.0, "max_megapixels": 64.0}, "settings_source": {"model_type": "environment"},
    },
    ModelList: {
        "models": [
            {
                "name": "demo", "family": "sam", "default": True, "ready": True, "image_size": 512,
                "embedding_shape": [1, 256, 32, 32], "precision": "fp32", "licence": "Apache-2.0",
            }
        ]
    },
    PictureAnswer: {
        **_PICTURE, "pages": 1, "channels": 3, "channel_names": ["red", "green", "blue"], "dtype": "uint8",
        "pixel_size": None,
    },
    Health: {"status": "ok"},
    AnalysisAnswerModel: {**_PICTURE, **analysis_examples.ANALYSIS, "timing_ms": _TIMING},
    PresetsAnswer: analysis_examples.PRESETS,
}  # fmt: skip

EVENTS = "\n".join(
    json.dumps(event)
    for event in (
        {"event": "start", **_PICTURE},
        {"event": "progress", "done": 64, "total": 256},
        {"event": "mask", "mask": _AUTOMATIC_MASK},
        {"event": "end", "count": 1, "parameters": _PARAMETERS, "timing_ms": _TIMING},
    )
)

ANALYSIS_EVENTS = "\n".join(
    json.dumps(event, ensure_ascii=False)
    for event in (
        {"event": "start", **_PICTURE},
        {"event": "progress", "done": 64, "total": 256},
        {"event": "analysis", "masks": 1},
        {"event": "object", "object": analysis_examples.ANALYSIS["objects"][0]},
        {
            "event": "end",
            "count": 1,
            **{name: part for name, part in analysis_examples.ANALYSIS.items() if name != "objects"},
            "decode": _DECODE,
            "timing_ms": _TIMING,
        },
    )
)

_PROBLEMS = (
    Problem("invalid_json", "Expecting value at line 1, column 1"),
    Problem("invalid_image", "the JPEG picture is truncated or damaged"),
    Problem("unauthorized", "this server needs an API key; send it as Authorization: Bearer KEY"),
    Problem("forbidden", "this server fetches no pictures from that host; send the file in image, or in a form"),
    Problem("not_found", "there is nothing here; /docs lists what there is"),
    Problem("unknown_image", "no image is held under this id; send the image again"),
    Problem("method_not_allowed", "this address takes POST"),
    Problem("body_too_large", "a request has at most 50 MB"),
    Problem("image_too_large", "the picture has 60000 x 60000 pixels; at most 64 megapixels are read"),
    Problem("unsupported_media_type", "send multipart/form-data or application/json"),
    Problem(
        "invalid_request",
        "one label per point: 2 for 1 points",
        (("/prompts/0/labels", "one label per point: 2 for 1 points"),),
    ),
    Problem(
        "limit_exceeded", "at most 64 prompts in one request", (("/prompts", "at most 64 prompts in one request"),)
    ),
    Problem("internal", "The request failed on the server; its log has more under this request_id."),
    Problem("overloaded", "64 requests are under way already; try again"),
    Problem("not_ready", "no ready replica of ImageEncoder"),
    Problem("replica_lost", "replicas kept dying while they worked on this request; try again"),
    Problem(
        "timeout",
        "no answer within 120 s. Automatic masks are faster with performance_mode or a lower crop_n_layers, and "
        "stream shows how far they are",
    ),
)

PROBLEMS: Mapping[str, Mapping[str, object]] = {
    problem.code: problem.document(REQUEST_ID_EXAMPLE) for problem in _PROBLEMS
}
"""By code: all there are."""
