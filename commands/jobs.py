"""The options that `everything` and `batch` share, as a job."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.scale import PIXELS, parse_scale
from batch.job import Job, Tiling, split_parameters
from segmentation.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class JobOptions:
    """As they were typed."""

    formats: str
    preset: str | None
    pixel_size: str | None
    parameters: str | None
    tile: int | None
    halo: int | None
    level: int

    def job(self, model: str, weights: str = "") -> Job:
        """The job of these options.

        Raises:
            InvalidRequest: an option that can't be; says which.
        """
        parameters, rules = split_parameters(read_json(self.parameters))
        return Job(
            model=model,
            parameters=parameters,
            preset=self.preset,
            rules=rules,
            scale=PIXELS if self.pixel_size is None else parse_scale(self.pixel_size),
            formats=split_names(self.formats),
            tiling=self._tiling(),
            weights=weights,
        )

    def _tiling(self) -> Tiling | None:
        if self.tile is None:
            if self.halo is not None or self.level:
                raise InvalidRequest("--halo and --level go with --tile", "/tile")
            return None
        return Tiling(self.tile, self.tile // 4 if self.halo is None else self.halo, self.level)


def split_names(text: str) -> tuple[str, ...]:
    """Comma separated names, each once, in their order."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def read_json(text: str | None) -> dict[str, Any]:
    """The object of `--parameters`: JSON, or the name of a file that holds it.

    Raises:
        InvalidRequest: neither.
    """
    if not text:
        return {}
    if not text.lstrip().startswith("{"):
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"neither JSON nor a file of it: {error}", "/parameters") from error
    try:
        document = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise InvalidRequest(f"not JSON: {error}", "/parameters") from error
    if not isinstance(document, dict):
        raise InvalidRequest("a JSON object of names and values", "/parameters")
    return document


def numbers(text: str, counts: tuple[int, ...], what: str) -> list[float]:
    """Comma separated numbers, as many as one of the counts.

    Raises:
        InvalidRequest: something else.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in counts or not all(map(math.isfinite, values)):
        raise InvalidRequest(f"{text!r} is not {what}")
    return values


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")
