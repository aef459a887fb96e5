"""Masks of a picture by the core in this process. Knows no files and no Ray."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segmentation.automatic.generate import AutomaticParameters, encode_crop, generate
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.protocol import DecoderBackend, EncoderBackend
from segmentation.backends.select import RuntimePlan, plan_runtime
from segmentation.predict import segment
from segmentation.prompts import validate_prompt
from segmentation.settings import RuntimeSettings
from segmentation.types import MaskRecord, Prompt, Size

Progress = Callable[[int, int], None]
"""Called with (points done, points in all)."""


class Engine(Protocol):
    """Whoever segments pictures: the core here, or a server."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    def everything(
        self, data: bytes, image: NDArray[np.uint8], parameters: AutomaticParameters, progress: Progress | None
    ) -> list[MaskRecord]:
        """All masks of a picture, given as its file (empty: there is none) and as decoded, uint8 [H, W, 3]."""
        ...

    def segment(self, data: bytes, image: NDArray[np.uint8], prompt: Prompt) -> MaskRecord:
        """The best mask of a prompt."""
        ...


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """The core: an encoder and a decoder of one model in this process."""

    model: str
    encoder: EncoderBackend
    decoder: DecoderBackend

    def everything(
        self, data: bytes, image: NDArray[np.uint8], parameters: AutomaticParameters, progress: Progress | None
    ) -> list[MaskRecord]:
        """All masks of a picture."""
        return generate(self.encoder, self.decoder, image, parameters, progress)

    def segment(self, data: bytes, image: NDArray[np.uint8], prompt: Prompt) -> MaskRecord:
        """The best mask of a prompt.

        Raises:
            InvalidRequest: a prompt that does not fit the picture.
        """
        size: Size = (image.shape[0], image.shape[1])
        architecture = self.encoder.architecture
        checked = validate_prompt(prompt, size, architecture.low_res_side, "/prompts/0")
        embedding = encode_crop(self.encoder, image, (0, 0, size[1], size[0]))
        return segment(self.decoder, self.decoder.prepare(embedding), size, [checked])[0][0]


def plan_for(runtime: Mapping[str, Any]) -> RuntimePlan:
    """The plan for settings of a runtime, given as keywords; downloads a missing checkpoint.

    Raises:
        ConfigurationError: no such model, or nothing here can run it.
    """
    return plan_runtime(RuntimeSettings(**runtime))


def open_engine(plan: RuntimePlan, *, device: str = "cpu", threads: int = 0) -> LocalEngine:
    """Loads a model. threads: of its runtime."""
    encoder = open_encoder(plan, device=device, threads=threads)
    return LocalEngine(plan.spec.name, encoder, open_decoder(plan, device="cpu", threads=threads))
