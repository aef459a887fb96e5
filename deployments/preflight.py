"""What the server would run with these settings, and whether it can: the check before every start. Knows no Ray.

`python -m segmentation.preflight` prints one line a finding and exits with 2 on an error.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from deployments.serve_file import unknown_key
from deployments.settings.server import ResolvedSettings, Settings, resolve
from segmentation.backends.select import TORCH_SIDE, RuntimePlan, is_installed, plan_runtime
from segmentation.errors import ConfigurationError, TorchNeeded
from segmentation.warmup import warm_up


def check(
    environ: Mapping[str, str],
    args: Mapping[str, object] | None = None,
    *,
    download: bool = True,
    device_of: Callable[[Settings], str] | None = None,
) -> tuple[ResolvedSettings, RuntimePlan]:
    """(settings, the default model's plan) of `check_models`."""
    resolved, plans = check_models(environ, args, download=download, device_of=device_of)
    return resolved, plans[0]


def check_models(
    environ: Mapping[str, str],
    args: Mapping[str, object] | None = None,
    *,
    download: bool = True,
    device_of: Callable[[Settings], str] | None = None,
) -> tuple[ResolvedSettings, tuple[RuntimePlan, ...]]:
    """Resolves settings and model files; downloads a missing checkpoint unless told not to. `device_of` says what the
    encoders will run on, where the cluster is known.

    Returns:
        The settings, and the plan of each model that is offered, the default's first.

    Raises:
        ConfigurationError: the server can't start; one line that says what to do.
    """
    resolved = resolve(environ, args)
    if "://" in resolved.settings.embedding_store and not is_installed("fsspec"):
        raise ConfigurationError(
            "SAM_EMBEDDING_STORE is a URL: install the package fsspec, and what it needs for this kind of URL; or name "
            "a directory"
        )
    settings = resolved.settings
    device = device_of(settings) if device_of else None
    plans = tuple(
        plan_runtime(replace(settings, model_type=name), download=download, device=device) for name in settings.models
    )
    warm_up()  # on a fresh machine once, here, and not in every replica at the same time
    return resolved, plans


def missing_extras(
    environ: Mapping[str, str],
    args: Mapping[str, object] | None = None,
    *,
    installed: Callable[[str], bool] = is_installed,
) -> tuple[str, ...]:
    """The extras of the package that these settings need and that are not installed.

    Raises:
        ConfigurationError: the settings can't be served, whatever is installed.
    """
    settings = resolve(environ, args).settings
    backends = set()
    for name in settings.models:
        try:
            plan = plan_runtime(
                replace(settings, model_type=name),
                download=False,
                installed=lambda module: module in TORCH_SIDE or installed(module),
            )
            backends.add(plan.backend)
        except TorchNeeded:
            backends.add("pytorch")
    return ("pytorch",) if "pytorch" in backends and not all(map(installed, TORCH_SIDE)) else ()


def read_config(path: Path) -> tuple[dict[str, str], dict[str, object]]:
    """(environment variables, args) that a Serve config file gives its first application.

    Raises:
        ConfigurationError: the file can't be read, has no application, or a key that Serve would drop.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and (wrong := unknown_key(document)):
            raise ConfigurationError(f"{path}: {wrong}")
        application: dict[str, Any] = document["applications"][0]
        variables = (application.get("runtime_env") or {}).get("env_vars") or {}
        return {str(key): str(value) for key, value in variables.items()}, dict(application.get("args") or {})
    except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"can't read the Serve config {path}: {error}") from error


def report(resolved: ResolvedSettings, plans: Sequence[RuntimePlan]) -> list[str]:
    """The findings, one line each, the decisions last."""
    lines = [f"setting  {line}" for line in resolved.lines]
    lines += [f"warning  {line}" for line in resolved.warnings]
    lines += [f"note     {line}" for plan in plans for line in plan.findings]
    return [*lines, *(f"ok       {plan.spec.name} on {plan.backend}, {plan.precision}" for plan in plans)]


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m segmentation.preflight", description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, help="a Serve config file whose args and env_vars count too")
    parser.add_argument("--download", action="store_true", help="fetch a missing checkpoint instead of reporting it")
    parser.add_argument("--missing-extras", action="store_true", help="print the extras to install, and nothing else")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        variables, args = read_config(options.config) if options.config else ({}, {})
        if options.missing_extras:
            print(",".join(missing_extras({**os.environ, **variables}, args)))
            return 0
        findings = report(*check_models({**os.environ, **variables}, args, download=options.download))
    except ConfigurationError as error:
        print(f"error    {error.message}")
        return 2
    print("\n".join(findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
