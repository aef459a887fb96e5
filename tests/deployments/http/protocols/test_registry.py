"""What all protocols share: which are spoken, their description, keys, slots and metrics."""

import base64
from collections.abc import Iterator

import pytest
from local_graph import LocalGraph
from openapi_spec_validator import OpenAPIV31SpecValidator
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from tool_oracle import ok

from deployments.http.protocols.registry import OPENERS, open_protocols
from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys
from deployments.settings.protocols import PROTOCOLS, parse_protocols
from deployments.telemetry.events import Answered, Event, Refused

KEY = "alice-0123456789abcdef"
OTHER = "other-0123456789abcdef"


def served(graph: LocalGraph) -> TestClient:
    return TestClient(create_app(graph.service), raise_server_exceptions=False)


@pytest.fixture
def keyed(sam: Sam) -> Iterator[TestClient]:
    graph = LocalGraph(sam, {"api_keys": parse_api_keys(f"alice:{KEY}"), "max_queue_per_key": 1})
    with served(graph) as client:
        yield client


def test_settings_name_every_protocol_there_is() -> None:
    assert tuple(OPENERS) == PROTOCOLS
    assert parse_protocols("all") == PROTOCOLS
    assert parse_protocols("none") == ()
    assert parse_protocols(" osam, QuPath ,osam") == ("qupath", "osam")
    with pytest.raises(ValueError, match="'nuclio' is no protocol"):
        parse_protocols("cvat,nuclio")


def test_only_the_protocols_of_the_settings_are_spoken(sam: Sam) -> None:
    with served(LocalGraph(sam, {"protocols": ("osam",)})) as client:
        assert client.get("/api/generate").status_code == 405
        gone = client.get("/v1/models")
        assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")
        tags = {tag for methods in client.get("/openapi.json").json()["paths"].values() for tag in tags_of(methods)}
        assert tags == {"osam, labelme"}


def tags_of(methods: dict[str, dict[str, list[str]]]) -> list[str]:
    return [tag for operation in methods.values() for tag in operation.get("tags", [])]


def test_each_has_its_own_heading_in_the_description(client: TestClient, graph: LocalGraph) -> None:
    document = client.get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    headings = {tag["name"] for tag in document["tags"]}
    for protocol in open_protocols(graph.service):
        assert protocol.title in headings
        for route in protocol.routes:
            operation = document["paths"][route.path][route.method.lower()]
            assert operation["tags"] == [protocol.title]
            assert "200" in operation["responses"]
            if route.body is not None:
                content = operation["requestBody"]["content"]["application/json"]
                route.body.model_validate(content["examples"]["example"]["value"])


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/models", {"token": KEY}),
        ("/sam/version/", {}),
        ("/api/functions", {}),
        ("/api/info", {}),
    ],
)
def test_a_key_is_needed_and_is_taken_the_tools_own_way(keyed: TestClient, path: str, headers: dict[str, str]) -> None:
    assert keyed.get(path).status_code == 401
    basic = base64.b64encode(f"any:{KEY}".encode()).decode()
    for good in ({"authorization": f"Bearer {KEY}"}, {"authorization": f"Basic {basic}"}, headers):
        if good:
            assert keyed.get(path, headers=good).status_code == 200
    for bad in ({"authorization": f"Bearer {OTHER}"}, {"authorization": "Basic ???"}, {"token": OTHER}):
        assert keyed.get(path, headers=bad).status_code == 401


def test_roboflows_key_is_in_the_body_or_the_query(keyed: TestClient, picture: str) -> None:
    body = {"image": {"type": "base64", "value": picture}}
    path = "/sam2/embed_image"
    refused = keyed.post(path, json=body)
    assert refused.status_code == 401
    assert set(refused.json()) == {"message"}
    assert keyed.post(path, json={**body, "api_key": OTHER}).status_code == 401
    assert keyed.post(f"{path}?api_key={OTHER}", json={**body, "api_key": KEY}).status_code == 401
    held = ok(keyed.post(path, json={**body, "api_key": KEY}))
    prompts = [{"points": [{"x": 60, "y": 40}]}]
    asked = {"image_id": held["image_id"], "prompts": prompts}
    assert len(ok(keyed.post(f"/sam2/segment_image?api_key={KEY}", json=asked))["predictions"]) == 1


def test_label_studio_asks_for_health_before_it_has_a_key(keyed: TestClient) -> None:
    assert ok(keyed.get("/label-studio/health"))["status"] == "UP"
    assert keyed.post("/label-studio/setup", json={}).status_code == 401


def test_over_capacity_every_tool_is_told_in_its_form(sam: Sam) -> None:
    graph = LocalGraph(sam, {"max_queue": 1})
    with served(graph) as client, graph.service.admission.place():
        for path, status, name in (
            ("/v1/predict", 503, "error"),
            ("/sam/", 503, "detail"),
            ("/hugging-face", 429, "error"),
            ("/label-studio/predict", 503, "error"),
        ):
            refused = client.post(path, json={})
            assert refused.status_code == status
            assert name in refused.json()
            assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/v1/models").status_code == 200


def test_metrics_tell_protocols_apart(sam: Sam, picture: str) -> None:
    events: list[Event] = []
    with served(LocalGraph(sam, emit=events.append)) as client:
        prompt = {"points": [[60, 40]], "point_labels": [1]}
        ok(client.post("/api/generate", json={"model": "sam", "image": picture, "prompt": prompt}))
        client.post("/v1/predict", json={})
    answered = [event for event in events if isinstance(event, Answered)]
    assert [(event.route, event.protocol) for event in answered] == [("/api/generate", "osam")]
    refused = [event for event in events if isinstance(event, Refused)]
    assert [(event.code, event.protocol) for event in refused] == [("invalid_request", "x-anylabeling")]


def test_a_tools_timeout_and_faults_say_nothing_of_the_insides(sam: Sam, picture: str) -> None:
    graph = LocalGraph(sam)
    graph.encoder.errors["embed"] = [RuntimeError("secret /path")] * 9
    with served(graph) as client:
        prompt = {"points": [[60, 40]], "point_labels": [1]}
        failed = client.post("/api/generate", json={"model": "sam", "image": picture, "prompt": prompt})
    assert failed.status_code == 500
    assert set(failed.json()) == {"detail"}
    assert "secret" not in failed.text
