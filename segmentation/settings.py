"""Settings: a frozen dataclass of documented fields, resolved once from the environment, then `args:`, then defaults.

`RuntimeSettings` is what choosing and opening a runtime needs. A server adds fields of its own in a subclass. Knows no
runtime and reads no environment: the mapping is passed in.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from segmentation.errors import ConfigurationError
from segmentation.weights.manifest import PROJECT_ROOT

PREFIX = "SAM_"
BACKENDS = ("pytorch", "onnx", "auto")
ONNX_RUNTIMES = ("auto", "onnxruntime", "openvino")
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "auto")

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def setting(
    default: object,
    meaning: str,
    *,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    values: str = "",
    parse: Callable[[str], object] | None = None,
    secret: bool = False,
) -> Any:
    """One setting.

    Args:
        parse: reads what is more than a word or a number; raises ValueError.
        values: what `parse` takes, for the document.
        secret: taken from the environment only, and never printed.
    """
    metadata = {
        "meaning": meaning, "choices": choices, "minimum": minimum, "values": values, "parse": parse, "secret": secret,
    }  # fmt: skip
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """What decides on a runtime. Paths are absolute once resolved."""

    backend: str = setting(
        "auto",
        "`onnx` needs the converted pair. `pytorch` needs torch and downloads a missing checkpoint. `auto` takes a "
        "whole ONNX pair, else torch and the checkpoint, else torch and a download",
        choices=BACKENDS,
    )
    model_type: str = setting("vit_h", "`vit_h`, `vit_l`, `vit_b`, `demo`, or a name you added to the manifest")
    use_gpu: bool = setting(True, "use a GPU if the cluster has one; the CPU otherwise")
    model_dir: Path = setting(Path("model"), "folder of checkpoints (and of a `manifest.toml` of your own)")
    onnx_dir: Path = setting(Path("model/onnx"), "folder of converted ONNX pairs")
    onnx_runtime: str = setting(
        "auto",
        "what runs an ONNX image encoder on a CPU. `auto` takes the faster one of those installed: both are measured "
        "when a model is first opened on a kind of CPU, and the result is remembered beside the model",
        choices=ONNX_RUNTIMES,
    )
    precision: str = setting(
        "fp32",
        "of the image encoder. `bf16` (OpenVINO on CPUs with AVX512-BF16 or AMX; PyTorch anywhere) and `int8` (ONNX "
        "Runtime on CPUs) need a conversion with `--precision`; `fp16` runs on PyTorch on GPUs. `auto` takes the "
        "fastest that runs here and whose masks were measured to agree with fp32's",
        choices=PRECISIONS,
    )


Settings_co = TypeVar("Settings_co", bound=RuntimeSettings, covariant=True)


@dataclass(frozen=True, slots=True)
class Resolved(Generic[Settings_co]):
    """Settings with where each came from.

    sources: setting name -> "environment", "args" or "default".
    lines: one line for the log per setting that is not at its default.
    warnings: one line per variable that looks like a setting and is none.
    """

    settings: Settings_co
    sources: dict[str, str]
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def resolve_runtime(environ: Mapping[str, str]) -> RuntimeSettings:
    """The settings of a runtime from the environment, over the defaults; other variables are not looked at.

    Raises:
        ConfigurationError: a value that can't be; names the setting and what is allowed.
    """
    return resolve_fields(RuntimeSettings, environ).settings


def resolve_fields(
    kind: type[Settings_co], environ: Mapping[str, str], args: Mapping[str, object] | None = None
) -> Resolved[Settings_co]:
    """Settings of one kind from the environment, over `args`, over the defaults.

    An empty variable, and an `args` key without a value, count as not set. A list in `args` stands for its items,
    comma separated. Relative paths are relative to the project root.

    Raises:
        ConfigurationError: an unknown `args` key, or a value that can't be; names the setting and what is allowed.
    """
    args = args or {}
    known = {one.name: one for one in fields(kind)}
    if unknown := sorted(set(args) - set(known)):
        raise ConfigurationError(f"unknown setting {unknown[0]!r} in args; known are {', '.join(known)}")
    if leaked := [name for name in args if known[name].metadata["secret"]]:
        raise ConfigurationError(
            f"{leaked[0]} in args: a secret comes from the environment only, because Ray logs args; "
            f"set {variable(leaked[0])}"
        )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    lines: list[str] = []
    for name, one in known.items():
        given = [
            (source, text)
            for source, text in (("environment", environ.get(variable(name))), ("args", args.get(name)))
            if text is not None and text != ""
        ]
        parsed = [(source, _parse(one, text, source)) for source, text in given]
        source, value = parsed[0] if parsed else ("default", one.default)
        values[name] = PROJECT_ROOT / value if isinstance(value, Path) else value
        sources[name] = source
        if parsed:
            over = "".join(f", over {other} {show(lost)}" for other, lost in parsed[1:])
            lines.append(f"{name}={show(value)} ({source}{over})")
    variables = {variable(name) for name in known}
    strangers = sorted(key for key in environ if key.startswith(PREFIX) and key not in variables)
    warnings = tuple(f"{key} is set but is no setting of this server; see docs/configuration.md" for key in strangers)
    return Resolved(kind(**values), sources, tuple(lines), warnings)


def documented(kind: type[RuntimeSettings]) -> list[tuple[str, str, str, str]]:
    """(variable, values, default, meaning) of every setting of a kind, as `docs/configuration.md` shows them."""
    rows = []
    for one in fields(kind):
        choices = one.metadata["choices"]
        values = " ".join(f"`{choice}`" for choice in choices) or one.metadata["values"] or _KINDS[_kind(one)]
        default = f"`{show(one.default)}`" if one.default not in {(), ""} else "none"
        rows.append((f"`{variable(one.name)}`", values, default, one.metadata["meaning"]))
    return rows


_KINDS = {"bool": "true or false", "int": "whole number", "float": "number", "Path": "path", "str": "name"}


def _kind(one: "Field[Any]") -> str:
    return one.type if isinstance(one.type, str) else one.type.__name__


def _parse(one: "Field[Any]", given: object, source: str) -> Any:
    where = variable(one.name) if source == "environment" else f"{one.name} in args"
    kind = _kind(one)
    text = ",".join(map(str, given)) if isinstance(given, list | tuple) else str(given).strip()
    if parse := one.metadata["parse"]:
        try:
            return parse(text)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from None
    if kind == "bool":
        if text.lower() not in _BOOLEANS:
            raise ConfigurationError(f"{where} is {text!r}; say true or false")
        return _BOOLEANS[text.lower()]
    if kind in {"int", "float"}:
        return _number(text, kind, one.metadata["minimum"], where)
    if one.metadata["choices"] and text.lower() not in one.metadata["choices"]:
        raise ConfigurationError(f"{where} is {text!r}; choose one of {', '.join(one.metadata['choices'])}")
    if kind == "Path":
        return Path(text).expanduser()
    return text.lower() if one.metadata["choices"] else text


def _number(text: str, kind: str, minimum: float, where: str) -> float:
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        raise ConfigurationError(f"{where} is {text!r}; say a {_KINDS[kind]}") from None
    if not math.isfinite(value) or value < minimum:
        raise ConfigurationError(f"{where} is {text}; it must be at least {show(minimum)}")
    return value


def show(value: object) -> str:
    """A value as the log and the document write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value)
