"""What is to be done with each picture, as one frozen value with a hash. Knows no files and no Ray."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from analysis.export.formats import EXPORTS
from analysis.rules.read import resolve_rules
from analysis.scale import PIXELS, Scale
from segmentation.automatic.parameters import PERFORMANCE, QUALITY, AutomaticParameters, with_overrides
from segmentation.errors import InvalidRequest
from segmentation.settings import RuntimeSettings

MAX_MEGAPIXELS = 512.0
"""Of a picture that is decoded whole; larger ones need `--tile`."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture larger than memory is cut. tile: side in pixels; halo: pixels that neighbours share."""

    tile: int
    halo: int
    level: int = 0

    def __post_init__(self) -> None:
        if self.tile < 64:
            raise InvalidRequest("--tile is at least 64 pixels", "/tile")
        if not 0 <= self.halo <= self.tile // 2:
            raise InvalidRequest("--halo is at least 0 and at most half of --tile", "/halo")
        if self.level < 0:
            raise InvalidRequest("--level counts from 0, the full resolution", "/level")


@dataclass(frozen=True, slots=True)
class Job:
    """The work on each picture.

    model: as the output names it. parameters: of automatic masks. preset, rules: of the analysis, rule by rule over
    the preset's. scale: of every picture. formats: files beside the tables, by name. weights: tell which the model has.
    """

    model: str
    parameters: AutomaticParameters = QUALITY
    preset: str | None = None
    rules: Mapping[str, Any] = field(default_factory=dict)
    scale: Scale = PIXELS
    formats: tuple[str, ...] = ()
    tiling: Tiling | None = None
    weights: str = ""

    def __post_init__(self) -> None:
        resolve_rules(self.preset, self.rules)
        if unknown := sorted(set(self.formats) - EXPORTS.keys()):
            raise InvalidRequest(f"unknown format {unknown[0]!r}; there are {', '.join(EXPORTS)}", "/formats")

    def settings(self) -> dict[str, Any]:
        """What made the results, as JSON."""
        return {
            "model": self.model,
            "weights": self.weights,
            "automatic": {one.name: _plain(getattr(self.parameters, one.name)) for one in fields(self.parameters)},
            "scale": self.scale.to_json(),
            "preset": self.preset,
            "rules": resolve_rules(self.preset, self.rules).to_json(),
            "tiling": None if self.tiling is None else asdict(self.tiling),
        }

    def digest(self) -> str:
        """16 hexadecimal digits that stand for the settings; the formats of files are not among them."""
        text = json.dumps(self.settings(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def split_parameters(given: Mapping[str, Any]) -> tuple[AutomaticParameters, dict[str, Any]]:
    """The JSON of `--parameters`: names of automatic masks and of rules beside each other, as `/analyze` has them.

    Raises:
        InvalidRequest: an unknown name, or a value that can't be.
    """
    own = {one.name for one in fields(AutomaticParameters)} | {"performance_mode"}
    automatic = {name: value for name, value in given.items() if name in own}
    rules = {name: value for name, value in given.items() if name not in own and name != "automatic"}
    nested = given.get("automatic") or {}
    if not isinstance(nested, Mapping):
        raise InvalidRequest("automatic is an object of parameters", "/automatic")
    automatic |= nested
    fast = automatic.pop("performance_mode", False)
    if not isinstance(fast, bool):
        raise InvalidRequest("performance_mode is true or false", "/performance_mode")
    return with_overrides(PERFORMANCE if fast else QUALITY, automatic), rules


def runtime_settings(settings: RuntimeSettings, model: str | None) -> dict[str, Any]:
    """The settings of a runtime as keywords, `model` in the place of the environment's."""
    values = {one.name: getattr(settings, one.name) for one in fields(RuntimeSettings)}
    return values if model is None else {**values, "model_type": model}


def _plain(value: object) -> object:
    return [list(map(list, grid)) for grid in value] if isinstance(value, tuple) else value
