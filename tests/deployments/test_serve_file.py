"""A misspelt key of a Serve config file is named before anything starts."""

from pathlib import Path

import pytest
import yaml
from ray.serve import schema

from deployments import serve_file
from deployments.preflight import read_config
from segmentation.errors import ConfigurationError
from segmentation.weights.manifest import PROJECT_ROOT


def test_the_names_are_rays() -> None:
    for known, model in (
        (serve_file.TOP, schema.ServeDeploySchema),
        (serve_file.HTTP_OPTIONS, schema.HTTPOptionsSchema),
        (serve_file.GRPC_OPTIONS, schema.gRPCOptionsSchema),
        (serve_file.LOGGING, schema.LoggingConfig),
        (serve_file.APPLICATION, schema.ServeApplicationSchema),
        (serve_file.DEPLOYMENT, schema.DeploymentSchema),
    ):
        assert set(known) == set(model.model_fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("http_options: {prot: 5000}", "http_options has a key 'prot'.*do you mean port"),
        ("http_option: {port: 5000}", "do you mean http_options"),
        ("logging_config: {acces_log: false}", "logging_config has a key 'acces_log'"),
        ("applications: [{name: sam, arguments: {}}]", "the application sam has a key 'arguments'"),
        ("applications: [{name: sam, deployments: [{name: Ingress, replicas: 2}]}]", "the deployment Ingress"),
    ],
)
def test_a_misspelt_key_is_refused(change: str, words: str, tmp_path: Path) -> None:
    document = yaml.safe_load((PROJECT_ROOT / "config" / "serve.yaml").read_text())
    file = tmp_path / "serve.yaml"
    file.write_text(yaml.safe_dump({**document, **yaml.safe_load(change)}))
    with pytest.raises(ConfigurationError, match=words):
        read_config(file)


def test_the_files_of_the_project_are_fine() -> None:
    for path in (PROJECT_ROOT / "config").glob("serve*.yaml"):
        assert serve_file.unknown_key(yaml.safe_load(path.read_text())) is None
