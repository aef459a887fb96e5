"""The server's settings: one frozen value, resolved once from the environment, then `args:` in the YAML, then defaults.

Knows no runtime and reads no environment by itself: the mapping is passed in. Nothing below this file reads one either.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from segmentation.api_keys import ApiKey, parse_api_keys
from segmentation.endpoints import parse_collector, parse_store
from segmentation.errors import ConfigurationError
from segmentation.origins import parse_origins, parse_picture_origins
from segmentation.weights.manifest import PROJECT_ROOT

PREFIX = "SAM_"
BACKENDS = ("pytorch", "onnx", "auto")
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "auto")

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _setting(
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
class Settings:
    """Every setting, by its name without `SAM_` in lower case. Paths are absolute once resolved."""

    backend: str = _setting(
        "auto",
        "`onnx` needs the converted pair. `pytorch` needs torch and downloads a missing checkpoint. `auto` takes a "
        "whole ONNX pair, else torch and the checkpoint, else torch and a download",
        choices=BACKENDS,
    )
    model_type: str = _setting("vit_h", "`vit_h`, `vit_l`, `vit_b`, `demo`, or a name you added to the manifest")
    use_gpu: bool = _setting(True, "use a GPU if the cluster has one; the CPU otherwise")
    performance_mode: bool = _setting(False, "automatic masks default to the faster, coarser profile")
    model_dir: Path = _setting(Path("model"), "folder of checkpoints (and of a `manifest.toml` of your own)")
    onnx_dir: Path = _setting(Path("model/onnx"), "folder of converted ONNX pairs")
    precision: str = _setting(
        "fp32",
        "of the image encoder. `int8` (ONNX on CPUs) needs a conversion with `--precision`; `bf16` and `fp16` (GPU "
        "only) run on PyTorch. `auto` takes the fastest that runs here and whose masks were measured to agree with "
        "fp32's",
        choices=PRECISIONS,
    )
    max_body_mb: float = _setting(50.0, "largest request body, in MB (1,000,000 bytes)", minimum=0.001)
    max_body_total_mb: float = _setting(
        512.0,
        "bodies of all requests under way together, in MB (1,000,000 bytes); more are answered 503. At least "
        "`SAM_MAX_BODY_MB`",
        minimum=0.001,
    )
    max_megapixels: float = _setting(64.0, "largest picture, in millions of pixels", minimum=0.000001)
    max_prompts: int = _setting(64, "prompts in one request", minimum=1)
    max_points_per_side: int = _setting(64, "side of the point grid of automatic masks", minimum=1)
    max_crop_layers: int = _setting(3, "crop layers of automatic masks", minimum=0)
    max_queue: int = _setting(
        64,
        "requests admitted at once; more are answered 503, and while most are, only half as many are admitted",
        minimum=1,
    )
    max_queue_per_key: int = _setting(
        0, "requests of one API key admitted at once; 0 leaves `SAM_MAX_QUEUE` as the only bound", minimum=0
    )
    prompt_timeout_s: float = _setting(
        120.0, "deadline of a prompt request, and of any request's body, in seconds", minimum=0.001
    )
    auto_timeout_s: float = _setting(1800.0, "deadline of an automatic-mask request, in seconds", minimum=0.001)
    encoder_replicas: int = _setting(0, "`ImageEncoder` replicas; 0 sizes them from the cluster", minimum=0)
    decoder_replicas: int = _setting(0, "`PromptDecoder` replicas; 0 sizes them from the cluster", minimum=0)
    grid_replicas: int = _setting(0, "`MaskGridGenerator` replicas; 0 sizes them from the cluster", minimum=0)
    encoder_gpus: float = _setting(
        0.0,
        "GPUs each `ImageEncoder` replica asks for, also before a GPU node has joined; 0 asks for one where the "
        "cluster shows one",
        minimum=0,
    )
    decoder_gpus: float = _setting(
        0.0, "GPUs each `PromptDecoder` and `MaskGridGenerator` replica asks for; 0 keeps them on CPUs", minimum=0
    )
    threads: int = _setting(0, "CPU threads of each replica's runtime; 0 sizes them from the cluster", minimum=0)
    encoder_batch: int = _setting(4, "pictures encoded together at most", minimum=1)
    decoder_batch: int = _setting(24, "prompts decoded together at most", minimum=1)
    embedding_cache_mb: float = _setting(
        512.0, "embeddings and pictures each `ImageEncoder` replica keeps, in MB (1,000,000 bytes)", minimum=0
    )
    candidate_cache_mb: float = _setting(
        64.0,
        "candidates of automatic masks each `ImageEncoder` replica keeps, in MB: the same grid on the same picture "
        "with equal or stricter thresholds needs no decoder. 0 keeps none",
        minimum=0,
    )
    prepared_cache_mb: float = _setting(
        128.0,
        "what each `PromptDecoder` replica keeps of the pictures it was asked about last, in MB; 14 MB a picture at "
        "1024 pixels",
        minimum=0,
    )
    embedding_store: str = _setting(
        "",
        "a directory, or the URL of one that fsspec understands, where embeddings and pictures outlive the server and "
        'are shared by its nodes; see "Embeddings that last" below',
        values="path or URL",
        parse=parse_store,
    )
    embedding_store_mb: float = _setting(10000.0, "bound of a directory in `SAM_EMBEDDING_STORE`, in MB", minimum=1)
    stuck_after_s: float = _setting(
        300.0,
        "a replica whose runtime is busy with one batch for longer, in seconds, is replaced; never before five times "
        "the longest batch, nor in the first one before six times this. `MaskGridGenerator`, which gives way to all "
        "others, has `SAM_AUTO_TIMEOUT_S` at least. 0 never",
        minimum=0,
    )
    api_keys: tuple[ApiKey, ...] = _setting(
        (),
        'who may use the server, see "API keys" below; none lets everybody in. A secret: not in `args`',
        values="`name:key`, comma separated",
        parse=parse_api_keys,
        secret=True,
    )
    cors_origins: tuple[str, ...] = _setting(
        (),
        "web pages of these origins may call the server from a browser",
        values="`*`, or origins, comma separated",
        parse=parse_origins,
    )
    image_url_origins: tuple[str, ...] = _setting(
        (),
        "requests may name pictures by URL on these hosts; none refuses every URL. A host name must lead to a public "
        "address: list an address of your own network as a number",
        values="origins, as `https://example.org`, comma separated",
        parse=parse_picture_origins,
    )
    otlp_endpoint: str = _setting(
        "",
        "OpenTelemetry collector that gets a trace of each request, over OTLP/HTTP",
        values="address, as `http://127.0.0.1:4318`",
        parse=parse_collector,
    )


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings with where each came from.

    sources: setting name -> "environment", "args" or "default".
    lines: one line for the log per setting that is not at its default.
    warnings: one line per variable that looks like a setting and is none.
    """

    settings: Settings
    sources: dict[str, str]
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def resolve(environ: Mapping[str, str], args: Mapping[str, object] | None = None) -> Resolved:
    """Settings from the environment, over `args`, over the defaults.

    An empty variable, and an `args` key without a value, count as not set. Relative paths are relative to the project
    root.

    Raises:
        ConfigurationError: an unknown `args` key, or a value that can't be; names the setting and what is allowed.
    """
    args = args or {}
    known = {setting.name: setting for setting in fields(Settings)}
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
    for name, setting in known.items():
        given = [
            (source, text)
            for source, text in (("environment", environ.get(variable(name))), ("args", args.get(name)))
            if text is not None and text != ""
        ]
        parsed = [(source, _parse(setting, text, source)) for source, text in given]
        source, value = parsed[0] if parsed else ("default", setting.default)
        values[name] = PROJECT_ROOT / value if isinstance(value, Path) else value
        sources[name] = source
        if parsed:
            over = "".join(f", over {other} {_show(lost)}" for other, lost in parsed[1:])
            lines.append(f"{name}={_show(value)} ({source}{over})")
    variables = {variable(name) for name in known}
    strangers = sorted(key for key in environ if key.startswith(PREFIX) and key not in variables)
    warnings = tuple(f"{key} is set but is no setting of this server; see docs/configuration.md" for key in strangers)
    if sources["max_body_total_mb"] == "default":
        values["max_body_total_mb"] = max(values["max_body_total_mb"], values["max_body_mb"])
    settings = Settings(**values)
    if settings.max_body_total_mb < settings.max_body_mb:
        raise ConfigurationError(
            f"SAM_MAX_BODY_TOTAL_MB is {_show(settings.max_body_total_mb)}, less than SAM_MAX_BODY_MB, "
            f"{_show(settings.max_body_mb)}: a body of that size could never come in; raise the one or lower the other"
        )
    return Resolved(settings, sources, tuple(lines), warnings)


def documented() -> list[tuple[str, str, str, str]]:
    """(variable, values, default, meaning) of every setting, as `docs/configuration.md` shows them."""
    rows = []
    for setting in fields(Settings):
        choices = setting.metadata["choices"]
        values = " ".join(f"`{choice}`" for choice in choices) or setting.metadata["values"] or _KINDS[_kind(setting)]
        default = f"`{_show(setting.default)}`" if setting.default not in {(), ""} else "none"
        rows.append((f"`{variable(setting.name)}`", values, default, setting.metadata["meaning"]))
    return rows


_KINDS = {"bool": "true or false", "int": "whole number", "float": "number", "Path": "path", "str": "name"}


def _kind(setting: "Field[Any]") -> str:
    return setting.type if isinstance(setting.type, str) else setting.type.__name__


def _parse(setting: "Field[Any]", given: object, source: str) -> Any:
    where = variable(setting.name) if source == "environment" else f"{setting.name} in args"
    kind = _kind(setting)
    text = str(given).strip()
    if parse := setting.metadata["parse"]:
        try:
            return parse(text)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from None
    if kind == "bool":
        if text.lower() not in _BOOLEANS:
            raise ConfigurationError(f"{where} is {text!r}; say true or false")
        return _BOOLEANS[text.lower()]
    if kind in {"int", "float"}:
        return _number(text, kind, setting.metadata["minimum"], where)
    if setting.metadata["choices"] and text.lower() not in setting.metadata["choices"]:
        raise ConfigurationError(f"{where} is {text!r}; choose one of {', '.join(setting.metadata['choices'])}")
    if kind == "Path":
        return Path(text).expanduser()
    return text.lower() if setting.metadata["choices"] else text


def _number(text: str, kind: str, minimum: float, where: str) -> float:
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        raise ConfigurationError(f"{where} is {text!r}; say a {_KINDS[kind]}") from None
    if not math.isfinite(value) or value < minimum:
        raise ConfigurationError(f"{where} is {text}; it must be at least {_show(minimum)}")
    return value


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value)
