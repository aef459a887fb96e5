"""Who segments: the core in this process, or a server. Opened once for a command."""

import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch.engine import Engine, Progress, open_engine, plan_for
from batch.job import runtime_settings
from client import Mask, SamClient
from commands.home import prepare_home
from segmentation.automatic.parameters import AutomaticParameters
from segmentation.backends.select import RuntimePlan
from segmentation.errors import ConfigurationError
from segmentation.settings import resolve_runtime
from segmentation.types import MaskRecord, Prompt, Rle


def open_for(server: str | None, model: str | None) -> Engine:
    """The engine of a command's options. Loads the model, or asks the server what it runs.

    Raises:
        ConfigurationError: the model can't run here.
        SamError: no server, or a wrong key.
    """
    if server is not None:
        return ServerEngine(server, model)
    prepare_home()
    plan = local_plan(model)
    return open_engine(plan, threads=len(os.sched_getaffinity(0)))


def local_plan(model: str | None) -> RuntimePlan:
    """What runs the model of `--model`, or of the environment, in this process.

    Raises:
        ConfigurationError: nothing here can, or there is no such model.
    """
    try:
        return plan_for(runtime_settings(resolve_runtime(os.environ), model))
    except ConfigurationError as error:
        if model is None and not os.environ.get("SAM_MODEL_TYPE"):
            raise ConfigurationError(f"{error.message}; or take --model demo, which comes with the package") from error
        raise


class ServerEngine:
    """A server by its address; the key is that of SAM_API_KEY."""

    def __init__(self, url: str, model: str | None) -> None:
        self._client = SamClient(url, os.environ.get("SAM_API_KEY") or None)
        weakref.finalize(self, self._client.close)
        self._model = model
        self.model = model or str(self._client.backend_info()["model_type"])

    def everything(
        self, data: bytes, image: NDArray[np.uint8], parameters: AutomaticParameters, progress: Progress | None
    ) -> list[MaskRecord]:
        """All masks of a picture."""
        source = data or image  # a window of a larger picture has no file
        picture = self._client.picture(source, model=self._model)
        return [_record(mask) for mask in picture.everything(progress, **_fields(parameters))]

    def segment(self, data: bytes, image: NDArray[np.uint8], prompt: Prompt) -> MaskRecord:
        """The best mask of a prompt."""
        points = prompt.points.tolist() if len(prompt.points) else None
        labels = prompt.labels.tolist() if len(prompt.points) else None
        box = None if prompt.box is None else prompt.box.tolist()
        picture = self._client.picture(data, model=self._model)
        return _record(picture.segment(points=points, labels=labels, box=box)[0])


def _fields(parameters: AutomaticParameters) -> dict[str, Any]:
    fields = {name: getattr(parameters, name) for name in AutomaticParameters.__slots__}
    return {name: value for name, value in fields.items() if value is not None}


def _record(mask: Mask) -> MaskRecord:
    return MaskRecord(
        rle=Rle(mask.rle.size, mask.rle.counts),
        bbox=mask.bbox,
        area=mask.area,
        predicted_iou=mask.predicted_iou if mask.predicted_iou is not None else 0.0,
        stability_score=mask.stability_score if mask.stability_score is not None else 0.0,
        point_coords=mask.point_coords,
        crop_box=mask.crop_box,
    )
