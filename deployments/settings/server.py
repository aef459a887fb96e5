"""The server's settings: those of its runtime, and what bounds, sizes and guards the server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from deployments.settings.api_keys import ApiKey, parse_api_keys
from deployments.settings.endpoints import parse_collector, parse_store
from deployments.settings.models import parse_models
from deployments.settings.origins import parse_origins, parse_picture_origins
from deployments.settings.protocols import PROTOCOLS, parse_protocols
from segmentation.errors import ConfigurationError
from segmentation.settings import Resolved, RuntimeSettings, resolve_fields, setting, show


@dataclass(frozen=True, slots=True)
class Settings(RuntimeSettings):
    """Every setting, by its name without `SAM_` in lower case."""

    models: tuple[str, ...] = setting(
        (),
        "every model that this server offers, see docs/models.md; `SAM_MODEL_TYPE` alone where it is not set. The "
        "model of a request that names none is `SAM_MODEL_TYPE`, or the first of these where that is not set",
        values="names, comma separated",
        parse=parse_models,
    )
    model_idle_s: float = setting(
        300.0,
        "a model other than the default's, that nobody has asked for so many seconds, gives its memory and GPU back. "
        "0 keeps every model ready",
        minimum=0,
    )
    performance_mode: bool = setting(False, "automatic masks default to the faster, coarser profile")
    max_body_mb: float = setting(50.0, "largest request body, in MB (1,000,000 bytes)", minimum=0.001)
    max_body_total_mb: float = setting(
        512.0,
        "bodies of all requests under way together, in MB (1,000,000 bytes); more are answered 503. At least "
        "`SAM_MAX_BODY_MB`",
        minimum=0.001,
    )
    max_megapixels: float = setting(64.0, "largest picture, in millions of pixels", minimum=0.000001)
    max_prompts: int = setting(64, "prompts in one request", minimum=1)
    max_points_per_side: int = setting(64, "side of the point grid of automatic masks", minimum=1)
    max_crop_layers: int = setting(3, "crop layers of automatic masks", minimum=0)
    max_grid_points: int = setting(16384, "points of one automatic-mask request, over all its crops", minimum=1)
    max_queue: int = setting(
        64,
        "prompt and embedding requests admitted at once; more are answered 503, and while most are, only half as many "
        "are admitted",
        minimum=1,
    )
    max_auto_queue: int = setting(
        16,
        "automatic-mask requests admitted at once, those that wait for others included; more are answered 503",
        minimum=1,
    )
    max_queue_per_key: int = setting(
        0,
        "requests of one API key admitted at once, of all kinds; 0 sets no bound of its own",
        minimum=0,
    )
    prompt_timeout_s: float = setting(
        120.0, "deadline of a prompt request, and of any request's body, in seconds", minimum=0.001
    )
    auto_timeout_s: float = setting(1800.0, "deadline of an automatic-mask request, in seconds", minimum=0.001)
    encoder_replicas: int = setting(0, "`ImageEncoder` replicas; 0 sizes them from the cluster", minimum=0)
    decoder_replicas: int = setting(0, "`PromptDecoder` replicas; 0 sizes them from the cluster", minimum=0)
    grid_replicas: int = setting(0, "`MaskGridGenerator` replicas; 0 sizes them from the cluster", minimum=0)
    encoder_gpus: float = setting(
        0.0,
        "GPUs each `ImageEncoder` replica asks for, also before a GPU node has joined; 0 asks for one where the "
        "cluster shows one",
        minimum=0,
    )
    decoder_gpus: float = setting(
        0.0, "GPUs each `PromptDecoder` and `MaskGridGenerator` replica asks for; 0 keeps them on CPUs", minimum=0
    )
    threads: int = setting(0, "CPU threads of each replica's runtime; 0 sizes them from the cluster", minimum=0)
    encoder_batch: int = setting(4, "pictures encoded together at most", minimum=1)
    decoder_batch: int = setting(24, "prompts decoded together at most", minimum=1)
    embedding_cache_mb: float = setting(
        512.0, "embeddings and pictures each `ImageEncoder` replica keeps, in MB (1,000,000 bytes)", minimum=0
    )
    candidate_cache_mb: float = setting(
        64.0,
        "candidates of automatic masks each `ImageEncoder` replica keeps, in MB: the same grid on the same picture "
        "with equal or stricter thresholds needs no decoder. 0 keeps none",
        minimum=0,
    )
    prepared_cache_mb: float = setting(
        128.0,
        "what each `PromptDecoder` replica keeps of the pictures it was asked about last, in MB; 14 MB a picture at "
        "1024 pixels",
        minimum=0,
    )
    embedding_store: str = setting(
        "",
        "a directory, or the URL of one that fsspec understands, where embeddings and pictures outlive the server and "
        'are shared by its nodes; see "Embeddings that last" below',
        values="path or URL",
        parse=parse_store,
    )
    embedding_store_mb: float = setting(10000.0, "bound of a directory in `SAM_EMBEDDING_STORE`, in MB", minimum=1)
    stuck_after_s: float = setting(
        300.0,
        "a replica whose runtime is busy with one batch for longer, in seconds, is replaced; never before five times "
        "the longest batch, nor in the first one before six times this. `MaskGridGenerator`, which gives way to all "
        "others, has `SAM_AUTO_TIMEOUT_S` at least. 0 never",
        minimum=0,
    )
    api_keys: tuple[ApiKey, ...] = setting(
        (),
        'who may use the server, see "API keys" below; none lets everybody in. A secret: not in `args`',
        values="`name:key`, comma separated",
        parse=parse_api_keys,
        secret=True,
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "web pages of these origins may call the server from a browser",
        values="`*`, or origins, comma separated",
        parse=parse_origins,
    )
    image_url_origins: tuple[str, ...] = setting(
        (),
        "requests may name pictures by URL on these hosts; none refuses every URL. A host name must lead to a public "
        "address: list an address of your own network as a number",
        values="origins, as `https://example.org`, comma separated",
        parse=parse_picture_origins,
    )
    log_level: str = setting(
        "info",
        "of the server's processes. `info`: what starts, one line a request, warnings. `debug`: every call too",
        choices=("debug", "info", "warning"),
    )
    log_format: str = setting("text", "of log lines; `json`: one object a line", choices=("text", "json"))
    protocols: tuple[str, ...] = setting(
        PROTOCOLS,
        "which tools' protocols are spoken, see tools.md; by default all of them",
        values="`all` `none`, or names, comma separated",
        parse=parse_protocols,
    )
    otlp_endpoint: str = setting(
        "",
        "OpenTelemetry collector that gets a trace of each request, over OTLP/HTTP",
        values="address, as `http://127.0.0.1:4318`",
        parse=parse_collector,
    )


ResolvedSettings: TypeAlias = Resolved[Settings]


def resolve(environ: Mapping[str, str], args: Mapping[str, object] | None = None) -> ResolvedSettings:
    """The server's settings, as `segmentation.settings.resolve_fields` has them.

    `SAM_MAX_BODY_TOTAL_MB` is at least `SAM_MAX_BODY_MB` where only the latter is given.

    Raises:
        ConfigurationError: as `resolve_fields`; or two settings contradict each other.
    """
    resolved = resolve_fields(Settings, environ, args)
    settings = resolved.settings
    if resolved.sources["max_body_total_mb"] == "default":
        settings = replace(settings, max_body_total_mb=max(settings.max_body_total_mb, settings.max_body_mb))
    if settings.max_body_total_mb < settings.max_body_mb:
        raise ConfigurationError(
            f"SAM_MAX_BODY_TOTAL_MB is {show(settings.max_body_total_mb)}, less than SAM_MAX_BODY_MB, "
            f"{show(settings.max_body_mb)}: a body of that size could never come in; raise the one or lower the other"
        )
    return replace(resolved, settings=_with_models(settings, resolved.sources["model_type"] != "default"))


def _with_models(settings: Settings, is_chosen: bool) -> Settings:
    """With `models` and `model_type` that agree, the default's first.

    Args:
        is_chosen: whether `model_type` was set.
    """
    if not settings.models:
        return replace(settings, models=(settings.model_type,))
    default = settings.model_type if is_chosen else settings.models[0]
    if default not in settings.models:
        raise ConfigurationError(
            f"SAM_MODEL_TYPE is {default}, which is none of SAM_MODELS, {', '.join(settings.models)}: add it there, or "
            "leave SAM_MODEL_TYPE out, and the first of them is the default"
        )
    others = tuple(name for name in settings.models if name != default)
    return replace(settings, model_type=default, models=(default, *others))
