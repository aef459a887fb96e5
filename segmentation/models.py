"""The model registry: names, architectures and files, read from `model/manifest.toml`.

Knows nothing of runtimes: it says what a model is, not how it runs.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from segmentation.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MANIFEST = PROJECT_ROOT / "model" / "manifest.toml"

T = TypeVar("T")


@dataclass(frozen=True)
class Architecture:
    """What `segment_anything.build_sam` hard-codes: a ViT encoder, SAM's prompt encoder and mask decoder behind it.

    `image_size` is the side of the square model input in pixels, `window_size` is in patches. `pixel_mean` and
    `pixel_std` are per RGB channel, in levels of 0 to 255.
    """

    image_size: int
    embed_dim: int
    depth: int
    num_heads: int
    global_attn_indexes: tuple[int, ...]
    window_size: int = 14
    patch_size: int = 16
    prompt_embed_dim: int = 256
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    @cached_property
    def embedding_side(self) -> int:
        """Side of the image embedding, in patches."""
        return self.image_size // self.patch_size

    @cached_property
    def low_res_side(self) -> int:
        """Side of the decoder's logits and of `mask_input`: four times the embedding's."""
        return 4 * self.embedding_side

    @cached_property
    def embedding_shape(self) -> tuple[int, int, int]:
        """Shape of one picture's embedding, channels first."""
        return (self.prompt_embed_dim, self.embedding_side, self.embedding_side)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of the registry: an architecture and the checkpoint file that fills it."""

    name: str
    architecture: Architecture
    file: str
    url: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    licence: str | None = None


def load_manifest(*paths: Path) -> dict[str, ModelSpec]:
    """Every model of the given manifests by name; later files add models and architectures, and may not redefine one.

    Without arguments: the project's own `model/manifest.toml`. Files after the first may be absent.

    Raises:
        ConfigurationError: a file can't be read, or an entry is malformed; names the file and the entry.
    """
    architectures: dict[str, Architecture] = {}
    models: dict[str, ModelSpec] = {}
    for index, path in enumerate(paths or (MANIFEST,)):
        if index and not path.is_file():
            continue
        document = _read(path)
        for name, table in document.get("architectures", {}).items():
            _refuse_second(name, architectures, path)
            architectures[name] = _build(Architecture, table, f"architectures.{name}", path)
        for name, table in document.get("models", {}).items():
            _refuse_second(name, models, path)
            models[name] = _model(name, table, architectures, path)
    return models


def find_model(name: str, models: Mapping[str, ModelSpec]) -> ModelSpec:
    """The model of that name.

    Raises:
        ConfigurationError: no such model; lists the names there are.
    """
    try:
        return models[name]
    except KeyError:
        raise ConfigurationError(f"unknown model type {name!r}; the manifest has {', '.join(sorted(models))}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"can't read the model manifest {path.name}: {error}") from error


def _refuse_second(name: str, known: Mapping[str, object], path: Path) -> None:
    if name in known:
        raise ConfigurationError(f"{path.name} defines {name!r} a second time; choose another name")


def _model(name: str, table: dict[str, Any], architectures: Mapping[str, Architecture], path: Path) -> ModelSpec:
    architecture = table.get("architecture")
    if not isinstance(architecture, str) or architecture not in architectures:
        known = ", ".join(sorted(architectures))
        raise ConfigurationError(f"models.{name} in {path.name}: architecture must be one of {known}")
    spec = _build(
        ModelSpec, {**table, "name": name, "architecture": architectures[architecture]}, f"models.{name}", path
    )
    if Path(spec.file).name != spec.file:
        raise ConfigurationError(f"models.{name} in {path.name}: file is a name in the model folder, not a path")
    return spec


def _build(kind: type[T], table: dict[str, Any], entry: str, path: Path) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - known):
        raise ConfigurationError(f"{entry} in {path.name}: unknown key {unknown[0]!r}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigurationError(f"{entry} in {path.name}: {error}") from error
