"""What is known of a tool's protocol without its routes: paths that need a slot, and the form of its errors.

The load shedder knows the tools by this module alone, in a process that loads neither their documents nor a model.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from starlette.responses import Response

from deployments.http.problems import Problem

ErrorDocument: TypeAlias = Callable[[Problem], object]
"""The JSON document in which a tool's client reads an error."""


@dataclass(frozen=True, slots=True)
class ToolForm:
    """One tool's.

    name: in `SAM_PROTOCOLS` and in metrics.
    error: the document of an error.
    slots: paths whose requests are work and count against `SAM_MAX_QUEUE`, without a slash at the end; `{name}` stands
        for one segment. Requests that read a body are among them.
    runs: those of them that are runs of automatic masks whatever their body says.
    statuses: of errors by code, where the tool's client expects others than the server's own API has.
    """

    name: str
    error: ErrorDocument
    slots: tuple[str, ...]
    runs: tuple[str, ...] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)

    def answer(self, problem: Problem, request_id: str) -> Response:
        """The error as the tool's client reads it."""
        headers = problem.headers()
        headers["content-type"] = "application/json"
        status = self.statuses.get(problem.code, problem.status)
        return Response(json.dumps(self.error(problem)).encode("ascii"), status, headers)


def pattern_of(path: str) -> str:
    """The regular expression of a path, with or without a slash at its end."""
    return re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path.rstrip("/"))) + "/?"


def _in(name: str) -> ErrorDocument:
    return lambda problem: {name: problem.detail}


X_ANYLABELING = ToolForm(
    "x-anylabeling",
    lambda problem: {"success": False, "error": {"code": problem.code.upper(), "message": problem.detail}},
    ("/v1/predict",),
)
QUPATH = ToolForm(
    "qupath", _in("detail"), ("/sam", "/sam/weights", "/sam/automask", "/sam/upload"), runs=("/sam/automask",)
)
ROBOFLOW = ToolForm(
    "roboflow",
    _in("message"),
    ("/sam/embed_image", "/sam/segment_image", "/sam2/embed_image", "/sam2/segment_image"),
)
HUGGING_FACE = ToolForm(
    "hugging-face",
    _in("error"),
    ("/hugging-face", "/hugging-face/{model}"),
    statuses={"overloaded": 429},  # the client for JavaScript repeats a request at once that is answered 503
)
LABEL_STUDIO = ToolForm(
    "label-studio", _in("error"), ("/label-studio/setup", "/label-studio/predict", "/label-studio/webhook")
)
CVAT = ToolForm("cvat", _in("error"), ("/api/function_invocations",))
ISAT = ToolForm("isat", _in("detail"), ("/api/encode", "/isat/{model}/api/encode"))
OSAM = ToolForm("osam", _in("detail"), ("/api/generate",))

FORMS = (X_ANYLABELING, QUPATH, ROBOFLOW, HUGGING_FACE, LABEL_STUDIO, CVAT, ISAT, OSAM)
"""Every tool's."""
