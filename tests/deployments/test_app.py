"""The builder and `config/serve.yaml`: they agree, and a server that can't start says why in one line."""

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_pair
import yaml
from pydantic import BaseModel
from ray import cloudpickle
from ray.serve import Application, Deployment
from ray.serve.schema import ServeDeploySchema

from deployments.app import AppArgs, build
from deployments.load_shedder import OPENER, VARIABLE
from segmentation.errors import ConfigurationError
from segmentation.weights.manifest import PROJECT_ROOT

CONFIGS = sorted((PROJECT_ROOT / "config").glob("serve*.yaml"))


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    """`build` puts our loggers under Serve's, for the life of the process."""
    loggers = [logging.getLogger(name) for name in ("deployments", "segmentation")]
    before = [logger.parent for logger in loggers]
    yield
    for logger, parent in zip(loggers, before, strict=True):
        logger.parent = parent


@pytest.fixture
def model_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("SAM_")]:
        monkeypatch.delenv(name)
    tiny_pair.save_checkpoint(tmp_path / "tiny.pth")
    (tmp_path / "manifest.toml").write_text(tiny_pair.MANIFEST)
    return tmp_path


def args(model_dir: Path, **more: Any) -> AppArgs:
    return AppArgs(model_type="tiny", model_dir=str(model_dir), onnx_dir=str(model_dir), **more)


def deployments(application: Application) -> dict[str, Deployment]:
    bound: Any = application._bound_deployment
    found = {bound.name: bound}
    for argument in (*bound.init_args, *bound.init_kwargs.values()):
        if isinstance(argument, Application):
            found |= deployments(argument)
    return found


def test_the_graph_has_the_names_of_the_design_and_fits_this_machine(model_dir: Path) -> None:
    graph = deployments(build(args(model_dir)))
    assert set(graph) == {"Ingress", "ImageEncoder", "PromptDecoder", "MaskGridGenerator", "MaskAnalyzer"}
    for deployment in graph.values():
        options: Any = deployment.ray_actor_options
        assert 0 < options["num_cpus"] <= 1 or options["num_cpus"] == int(options["num_cpus"])
        assert options.get("num_gpus", 0) == 0
        assert "runtime_env" not in options
        assert deployment.max_ongoing_requests >= 32


@pytest.mark.parametrize(("value", "says"), [(OPENER, False), ("", True), ("somebody.elses", True)])
def test_a_server_without_its_door_says_what_is_missing(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str, says: bool
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    build(args(model_dir))
    assert any(f"{VARIABLE} is not {OPENER}" in record.getMessage() for record in caplog.records) is says


def test_settings_size_the_graph(model_dir: Path) -> None:
    graph = deployments(build(args(model_dir, grid_replicas=5, encoder_gpus=0.5)))
    assert graph["MaskGridGenerator"].num_replicas == 5
    encoder: Any = graph["ImageEncoder"].ray_actor_options
    assert encoder["num_gpus"] == 0.5


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"colour": "red"}, "unknown setting 'colour'"),
        ({"backend": "tensorflow"}, "backend in args is 'tensorflow'"),
        ({"backend": "onnx"}, "python -m conversion.convert_model"),
        ({"model_dir": "/nowhere"}, "unknown model type 'tiny'"),
    ],
)
def test_what_can_not_be_served_stops_the_start_with_one_line(model_dir: Path, more: Any, says: str) -> None:
    given = args(model_dir).model_extra or {}
    with pytest.raises(ConfigurationError) as caught:
        build(AppArgs(**{**given, **more}))
    assert says in str(caught.value.message)
    assert "\n" not in caught.value.message


def test_an_api_key_is_neither_logged_nor_given_to_any_replica(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "0123456789abcdefghij"
    monkeypatch.setenv("SAM_API_KEYS", f"alice:{secret}")
    caplog.set_level(logging.DEBUG)
    graph = deployments(build(args(model_dir)))
    assert secret not in caplog.text
    digest = hashlib.sha256(secret.encode()).digest()
    for name, deployment in graph.items():
        given: Any = deployment
        arguments = [value for value in (*given.init_args, *given.init_kwargs.values()) if not is_bound(value)]
        sent = cloudpickle.dumps(arguments)
        assert secret not in repr(arguments)
        assert secret.encode() not in sent
        assert (digest in sent) is (name == "Ingress")


def is_bound(argument: object) -> bool:
    return isinstance(argument, Application)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_serve_knows_every_key_of_the_config(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert unknown_keys(document, ServeDeploySchema) == []
    ServeDeploySchema.model_validate(document)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_config_names_what_the_builder_builds_and_overrides_nothing(path: Path, model_dir: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert document["http_options"] == {"host": "127.0.0.1", "port": 5000}
    (application,) = document["applications"]
    assert application["import_path"] == f"{build.__module__}:{build.__name__}"
    names = [deployment["name"] for deployment in application["deployments"]]
    assert sorted(names) == sorted(deployments(build(args(model_dir))))
    assert all("ray_actor_options" not in deployment for deployment in application["deployments"])


def test_a_key_that_serve_would_drop_in_silence_is_found() -> None:
    document = {"applications": [{"import_path": "a:b", "deployments": [{"name": "A", "num_replica": 2}], "arg": {}}]}
    assert unknown_keys(document, ServeDeploySchema) == ["applications.arg", "applications.deployments.num_replica"]


def unknown_keys(document: Any, model: type[BaseModel], where: str = "") -> list[str]:
    """Keys of a document that a pydantic model has no field for, its sub-models included."""
    found = []
    for key, value in document.items():
        field = model.model_fields.get(key)
        if field is None:
            found.append(f"{where}{key}")
            continue
        inner = [part for part in (field.annotation, *getattr(field.annotation, "__args__", ())) if is_model(part)]
        for part in value if isinstance(value, list) else [value]:
            if inner and isinstance(part, dict):
                found += unknown_keys(part, inner[0], f"{where}{key}.")
    return sorted(found)


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_what_follows_the_load_is_sized_for_its_upper_end(path: Path) -> None:
    """The builder can't see `autoscaling_config`: `args` must say the same."""
    (application,) = yaml.safe_load(path.read_text())["applications"]
    sizes = {"ImageEncoder": "encoder_replicas", "PromptDecoder": "decoder_replicas"}
    for deployment in application["deployments"]:
        if scaling := deployment.get("autoscaling_config"):
            setting = sizes.get(deployment["name"], "grid_replicas")
            assert application["args"][setting] == scaling["max_replicas"]
