"""The model registry: names, architectures and files, read from `model/manifest.toml`.

Knows nothing of runtimes: it says what a model is, not how it runs.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from segmentation.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
MANIFEST = PROJECT_ROOT / "model" / "manifest.toml"

T = TypeVar("T")
Count = Annotated[int, Field(gt=0)]


@dataclass(frozen=True)
class Architecture:
    """What `segment_anything.build_sam` hard-codes: a ViT encoder, SAM's prompt encoder and mask decoder behind it.

    `image_size` is the side of the square model input in pixels, `window_size` is in patches. `pixel_mean` and
    `pixel_std` are per RGB channel, in levels of 0 to 255.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    image_size: Count
    embed_dim: Count
    depth: Count
    num_heads: Count
    global_attn_indexes: tuple[int, ...]
    window_size: Count = 14
    patch_size: Count = 16
    prompt_embed_dim: Count = 256
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    def __post_init__(self) -> None:
        if self.image_size % self.patch_size:
            raise ValueError("image_size must be a multiple of patch_size")
        if self.embed_dim % self.num_heads or self.embed_dim % 2 or self.prompt_embed_dim % 16:
            raise ValueError("embed_dim must be a multiple of num_heads and of 2, and prompt_embed_dim of 16")
        if any(not 0 <= index < self.depth for index in self.global_attn_indexes):
            raise ValueError("global_attn_indexes are block numbers from 0 to depth - 1")

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
    """One entry of the registry: an architecture and the checkpoint file that fills it.

    file: its name in the model folder. url, bytes (its size), sha256 and licence: as far as the manifest knows them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    architecture: Architecture
    file: Annotated[str, Field(pattern=r"^[^/\\]+$")]
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    bytes: Count | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
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
        for name, table in _tables(document, "architectures", path).items():
            _refuse_second(name, architectures, path)
            architectures[name] = _build(Architecture, table, f"architectures.{name}", path)
        for name, table in _tables(document, "models", path).items():
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


def _tables(document: dict[str, Any], key: str, path: Path) -> dict[str, dict[str, Any]]:
    tables = document.get(key, {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f"{path.name}: {key} must hold a table for each name, as [{key}.my_name]")
    return tables


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
    return _build(
        ModelSpec, {**table, "name": name, "architecture": architectures[architecture]}, f"models.{name}", path
    )


def _build(kind: type[T], table: dict[str, Any], entry: str, path: Path) -> T:
    try:
        return TypeAdapter(kind).validate_python(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([entry, *map(str, first["loc"])])
        raise ConfigurationError(f"{where} in {path.name}: {first['msg']}") from error
