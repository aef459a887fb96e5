"""What all protocols share: which are spoken, their description, keys, slots and metrics."""

import base64
import logging
from collections.abc import Iterator

import pytest
from local_graph import LocalGraph
from openapi_spec_validator import OpenAPIV31SpecValidator
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from tool_oracle import ok

from deployments.http.protocols.forms import FORMS
from deployments.http.protocols.registry import OPENERS, open_protocols
from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys
from deployments.settings.protocols import PROTOCOLS, parse_protocols
from deployments.telemetry.events import Answered, Event, Refused
from deployments.telemetry.tracing import Tracer

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


def test_what_is_known_without_the_routes_is_what_they_are(graph: LocalGraph) -> None:
    protocols = open_protocols(graph.service)
    assert tuple(protocol.form for protocol in protocols) == FORMS
    for protocol in protocols:
        paths = {route.path.rstrip("/") for route in protocol.routes}
        reading = {route.path.rstrip("/") for route in protocol.routes if route.body or route.body_kinds}
        assert reading <= set(protocol.form.slots) <= paths
        assert set(protocol.form.runs) <= set(protocol.form.slots)


def test_answers_tell_the_load_shedder_of_the_slots(client: TestClient, graph: LocalGraph) -> None:
    settings = graph.settings
    for path, slots in (
        ("/v1/predict", settings.max_queue),
        ("/sam/", settings.max_queue),
        ("/sam", settings.max_queue),
        ("/sam/automask/", settings.max_auto_queue),
        ("/hugging-face/any", settings.max_queue),
        ("/isat/any/api/encode", settings.max_queue),
    ):
        assert client.post(path, json={}).headers["sam-slots"] == str(slots)
    for path in ("/v1/models", "/label-studio/health", "/api/info", "/sam/version/"):
        assert "sam-slots" not in client.get(path).headers


def test_everything_takes_a_slot_of_a_run_however_a_tool_asks_for_it(sam: Sam, picture: str) -> None:
    graph = LocalGraph(sam, {"max_auto_queue": 1})
    image = f"data:image/png;base64,{picture}"
    config = '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"/></View>'
    everything: list[tuple[str, dict[str, object], int, str]] = [
        ("/v1/predict", {"model": "tiny", "image": image, "params": {}}, 503, "error"),
        ("/sam/automask/", {"b64img": picture}, 503, "detail"),
        ("/sam2/segment_image", {"image": {"type": "base64", "value": picture}}, 503, "message"),
        ("/hugging-face", {"inputs": picture}, 429, "error"),
        ("/label-studio/predict", {"tasks": [{"data": {"image": image}}], "label_config": config}, 503, "error"),
    ]
    click = {"model": "tiny", "image": image, "params": {"marks": [{"type": "point", "data": [60, 40]}]}}
    with served(graph) as client, graph.service.admission.place(is_run=True):
        for path, body, status, name in everything:
            refused = client.post(path, json=body)
            assert (refused.status_code, name in refused.json()) == (status, True), path
        assert client.post("/v1/predict", json=click).status_code == 200
        assert (graph.service.admission.taken, graph.service.admission.runs) == (1, 1)


def test_a_tools_request_is_one_trace(sam: Sam, picture: str) -> None:
    exporter = InMemorySpanExporter()
    tracer = Tracer("Ingress", "http://collector", SimpleSpanProcessor(exporter))
    click = {"model": "tiny", "image": picture, "params": {"marks": [{"type": "point", "data": [60, 40]}]}}
    with TestClient(create_app(LocalGraph(sam).service, tracer=tracer)) as client:
        ok(client.post("/v1/predict", json=click))
        ok(client.get("/v1/models"))
    (root,) = [span for span in exporter.get_finished_spans() if span.parent is None]
    assert root.name == "POST /v1/predict"
    assert root.attributes is not None
    assert root.attributes["http.response.status_code"] == 200


def test_a_tools_request_is_a_line_of_the_log(
    client: TestClient, picture: str, caplog: pytest.LogCaptureFixture
) -> None:
    click = {"model": "tiny", "image": picture, "params": {"marks": [{"type": "point", "data": [60, 40]}]}}
    with caplog.at_level(logging.INFO):
        ok(client.post("/v1/predict", json=click))
        ok(client.get("/v1/models"))
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("request ")]
    assert "POST /v1/predict 200 masks=3 ms=" in line


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
