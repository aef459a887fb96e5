"""`sam-serve serve` and `sam-serve check`: the server's own start and its preflight, with the package's config."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from commands.failures import WRONG_USE, reason, say
from commands.home import prepare_home
from deployments import preflight
from segmentation.weights.manifest import DATA_ROOT

VARIABLES = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.load_shedder.open_load_shedder",
    "MALLOC_ARENA_MAX": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_metric_cardinality_level": "low",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_SERVE_COMPACT_LONG_POLL_METRIC_TAGS": "1",
    "RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS": "20,100,500,2000,10000,60000",
    "RAY_SERVE_REPLICA_STARTUP_SHUTDOWN_LATENCY_BUCKETS_MS": "1000,5000,20000,60000",
}
"""As the Makefile sets them; the environment wins."""


def run(model: str | None, port: int | None, host: str | None, config: Path | None) -> int:
    """Checks, then becomes the server's process. Returns only if it can't start."""
    _choose(model)
    prepare_home()
    try:
        path = _with_address(config or DATA_ROOT / "config" / "serve.yaml", port, host)
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        say(f"can't read the config: {reason(error)}")
        return WRONG_USE
    if status := preflight.main(["--config", str(path), "--download"]):
        return status
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    sys.stdout.flush()
    return os.execv(sys.executable, [sys.executable, "-m", "deployments.run", "--address", "local", str(path)])


def check(model: str | None, config: Path | None) -> int:
    """The preflight: one line a finding; 0 or 2."""
    _choose(model)
    prepare_home()
    return preflight.main(["--config", str(config or DATA_ROOT / "config" / "serve.yaml")])


def _choose(model: str | None) -> None:
    if model is not None:
        os.environ["SAM_MODEL_TYPE"] = model


def _with_address(config: Path, port: int | None, host: str | None) -> Path:
    """The config, or a copy of it with another port and host."""
    if port is None and host is None:
        if not config.is_file():
            raise FileNotFoundError(2, "No such file", str(config))
        return config
    document: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    options = document.setdefault("http_options", {})
    options.update({name: value for name, value in (("port", port), ("host", host)) if value is not None})
    folder = Path(tempfile.mkdtemp(prefix="sam-serve-"))
    copy = folder / "serve.yaml"
    copy.write_text(yaml.safe_dump(document), encoding="utf-8")
    return copy
