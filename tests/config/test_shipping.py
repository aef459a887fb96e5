"""What ships the server names things that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.runtime_env.packaging import get_excludes_from_ignore_files
from ray.serve.schema import ServeDeploySchema
from real_server import SHIPPED_VARIABLES

from deployments.load_shedder import OPENER, VARIABLE
from deployments.settings.server import resolve
from segmentation.weights.manifest import PROJECT_ROOT

CONFIG = PROJECT_ROOT / "config"
DEPLOYMENTS = ["ImageEncoder", "Ingress", "MaskAnalyzer", "MaskGridGenerator", "PromptDecoder"]
SERVER = ("deployments/app.py", "segmentation/preflight.py", "model/manifest.toml", "model/onnx/sam_demo_encoder.onnx")


def serve_configs() -> dict[str, Any]:
    """Every Serve config of the project by the name of its file."""
    found = {path.name: yaml.safe_load(path.read_text()) for path in CONFIG.glob("serve*.yaml")}
    found["container.yaml"] = yaml.safe_load((CONFIG / "container.yaml").read_text())
    found["rayservice.yaml"] = yaml.safe_load(rayservice()["spec"]["serveConfigV2"])
    return found


def rayservice() -> Any:
    return yaml.safe_load((CONFIG / "rayservice.yaml").read_text())


@pytest.mark.parametrize("name", sorted(serve_configs()))
def test_a_config_deploys_the_graph_with_settings_that_there_are(name: str) -> None:
    document = serve_configs()[name]
    ServeDeploySchema.model_validate(document)
    (application,) = document["applications"]
    assert application["import_path"] == "deployments.app:build"
    assert sorted(deployment["name"] for deployment in application["deployments"]) == DEPLOYMENTS
    variables = application.get("runtime_env", {}).get("env_vars", {})
    assert resolve(variables, application["args"]).warnings == ()


@pytest.mark.parametrize("name", sorted(serve_configs()))
def test_the_graph_is_sized_for_the_most_replicas_that_may_come(name: str) -> None:
    (application,) = serve_configs()[name]["applications"]
    sized = {"ImageEncoder": "encoder", "PromptDecoder": "decoder", "MaskGridGenerator": "grid"}
    for deployment in application["deployments"]:
        if scaling := deployment.get("autoscaling_config"):
            assert deployment["num_replicas"] == "auto"
            assert application["args"][f"{sized[deployment['name']]}_replicas"] == scaling["max_replicas"]


def test_a_container_can_be_reached_and_a_laptop_can_not() -> None:
    hosts = {name: document["http_options"]["host"] for name, document in serve_configs().items()}
    assert hosts.pop("container.yaml") == hosts.pop("rayservice.yaml") == "0.0.0.0"
    assert set(hosts.values()) == {"127.0.0.1"}


def test_pods_offer_the_metrics_where_ray_puts_them() -> None:
    cluster = rayservice()["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert str(ports["metrics"]) == group["rayStartParams"]["metrics-export-port"]


def test_an_upload_carries_the_server_and_not_the_development_files() -> None:
    excluded = get_excludes_from_ignore_files(PROJECT_ROOT, include_gitignore=True)

    def is_left_out(path: str) -> bool:
        # A folder that is left out is not walked into.
        paths = [PROJECT_ROOT / path, *(PROJECT_ROOT / parent for parent in Path(path).parents if parent.name)]
        return any(exclude(place) or exclude(Path(f"{place}/")) for exclude in excluded for place in paths)

    assert [path for path in SERVER if is_left_out(path)] == []
    left_out = (".venv/bin/python", "runs/pool/a.npy", "model/sam_vit_b_01ec64.pth", "training/train.py")
    assert [path for path in (*left_out, "model/onnx/sam_vit_b_encoder.onnx") if not is_left_out(path)] == []


def test_the_image_copies_what_is_there_and_the_context_lets_in() -> None:
    text = (PROJECT_ROOT / "Dockerfile").read_text()
    let_in = [
        line[1:].rstrip("/")
        for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for sources in re.findall(r"^COPY (?!--from)(?:--chown=\S+ )?(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (PROJECT_ROOT / source).exists(), source
            assert any(source.rstrip("/") == name or source.startswith(f"{name}/") for name in let_in), source
    for requirements in ("cpu", "gpu", "cpu-pytorch", "gpu-pytorch"):
        assert (PROJECT_ROOT / "requirements" / f"{requirements}.txt").is_file()
    (command,) = re.findall(r"^CMD \[(.+)\]$", text, re.MULTILINE)
    assert (PROJECT_ROOT / command.split(",")[-1].strip(' "')).is_file()


def test_the_image_does_not_run_as_root() -> None:
    text = (PROJECT_ROOT / "Dockerfile").read_text()
    stages = text[text.index("AS server") :].split("\nFROM ")
    users = [re.findall(r"^USER (\S+)$", stage, re.MULTILINE) for stage in stages]
    assert users[0][-1:] == ["sam"]
    assert {found[-1] for found in users if found} == {"sam"}


@pytest.mark.parametrize(
    ("document", "sets"),
    [("Makefile", "export {} ?= {}"), ("Dockerfile", "ENV {}={}"), ("README.md", "`{}={}`")],
)
def test_what_starts_a_server_opens_its_door(document: str, sets: str) -> None:
    assert sets.format(VARIABLE, OPENER) in (PROJECT_ROOT / document).read_text(encoding="utf-8")


def test_what_starts_a_server_sets_what_was_measured() -> None:
    for document, assigns in (("Makefile", " ?= "), ("Dockerfile", "="), ("docs/operations.md", "=")):
        text = (PROJECT_ROOT / document).read_text(encoding="utf-8")
        missing = [name for name, value in SHIPPED_VARIABLES.items() if f"{name}{assigns}{value}" not in text]
        assert missing == [], document
