"""The model registry: names, architectures and files, read from `model/manifest.toml`.

Knows nothing of runtimes: it says what a model is, not how it runs.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from segmentation.errors import ConfigurationError
from segmentation.weights.architecture import ENCODERS, SAM_PREPROCESS, Architecture, Count, Preprocess

CHECKOUT = Path(__file__).resolve().parents[2]
"""Above this package: the project, or where packages are installed."""


def _home() -> Path:
    """Where an installed package keeps a user's models; the current folder for a user without a home."""
    try:
        return Path.home() / ".local" / "share" / "sam-serve"
    except RuntimeError:
        return Path.cwd()


_IS_CHECKOUT = (CHECKOUT / "model" / "manifest.toml").is_file()

DATA_ROOT = CHECKOUT if _IS_CHECKOUT else CHECKOUT / "sam_serve_data"
"""Files that come with the project: `config/`, the manifest and the demo model. Read only once installed."""
PROJECT_ROOT = CHECKOUT if _IS_CHECKOUT else _home()
"""What relative paths in settings are relative to: the checkout, or a folder of the user's."""
MANIFEST = DATA_ROOT / "model" / "manifest.toml"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One entry of the registry: a checkpoint file and what is known of the network in it.

    architecture: None where the file's shapes are to tell it. file: its name in the model folder. url, bytes (its
    size), sha256 and licence: as far as the manifest knows them. family: whose interface and training it has.
    preprocess: also in the architecture, where that is known.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    architecture: Architecture | None
    file: Annotated[str, Field(pattern=r"^[^/\\]*[^/\\.][^/\\]*$")]
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    bytes: Count | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    licence: str | None = None
    family: str = "sam"
    preprocess: Preprocess = SAM_PREPROCESS

    @property
    def unpinned(self) -> str | None:
        """What keeps a damaged or exchanged file from being noticed, or None."""
        if self.sha256 is not None:
            return None
        checked = "by its size only" if self.bytes is not None else "by its tensors' names and shapes only"
        return f"the manifest has no sha256 for {self.name}: {self.file} is checked {checked}"


@dataclass(frozen=True, slots=True)
class ModelSpec(ModelEntry):
    """An entry whose architecture is known."""

    architecture: Architecture


def load_manifest(*paths: Path) -> dict[str, ModelEntry]:
    """Every model of the given manifests by name; later files add models and architectures, and may not redefine one.

    Without arguments: the project's own `model/manifest.toml`. Files after the first may be absent.

    Raises:
        ConfigurationError: a file can't be read, or an entry is malformed; names the file and the entry.
    """
    architectures: dict[str, Architecture] = {}
    models: dict[str, ModelEntry] = {}
    for index, path in enumerate(paths or (MANIFEST,)):
        if index and not path.is_file():
            continue
        document = _read(path)
        for name, table in _tables(document, "architectures", path).items():
            _refuse_second(name, architectures, path)
            architectures[name] = _architecture(name, table, path)
        for name, table in _tables(document, "models", path).items():
            _refuse_second(name, models, path)
            models[name] = _model(name, table, architectures, path)
    return models


def find_model(name: str, models: Mapping[str, ModelEntry]) -> ModelEntry:
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


def _architecture(name: str, table: dict[str, Any], path: Path) -> Architecture:
    kind = table.get("encoder", "vit")
    if kind not in ENCODERS:
        raise ConfigurationError(f"architectures.{name} in {path.name}: encoder must be one of {', '.join(ENCODERS)}")
    numbers = {key: value for key, value in table.items() if key != "encoder"}
    return _build(ENCODERS[kind], numbers, f"architectures.{name}", path)


def _model(name: str, table: dict[str, Any], architectures: Mapping[str, Architecture], path: Path) -> ModelEntry:
    architecture = table.get("architecture")
    if architecture is not None and (not isinstance(architecture, str) or architecture not in architectures):
        known = ", ".join(sorted(architectures))
        raise ConfigurationError(
            f"models.{name} in {path.name}: architecture must be one of {known}; or leave it out, and the file's "
            "shapes tell it"
        )
    entry = f"models.{name}"
    model = _build(ModelEntry, {**table, "name": name, "architecture": None}, entry, path)
    return model if architecture is None else with_architecture(model, architectures[architecture])


def with_architecture(entry: ModelEntry, architecture: Architecture) -> ModelSpec:
    """The entry with its network, which prepares pictures as the entry says."""
    facts = {part.name: getattr(entry, part.name) for part in fields(ModelEntry)}
    return ModelSpec(**{**facts, "architecture": replace(architecture, preprocess=entry.preprocess)})


def _build(kind: type[T], table: dict[str, Any], entry: str, path: Path) -> T:
    try:
        return TypeAdapter(kind).validate_python(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([entry, *map(str, first["loc"])])
        raise ConfigurationError(f"{where} in {path.name}: {first['msg']}") from error
