"""Spans have the right parents, names that a caller can't choose, and cost nothing where nobody asked for them."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from local_graph import LocalGraph
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.testclient import TestClient

from deployments.calls.errors import not_held
from deployments.http.routes import create_app
from deployments.settings.server import resolve
from deployments.telemetry.tracing import Tracer, add_span, carrier, traced
from segmentation.errors import ConfigurationError, UnknownImage

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Kept:
    """A tracer whose spans are kept here."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = Tracer("Ingress", "http://127.0.0.1:1", SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def ask(graph: LocalGraph, kept: Kept) -> Callable[..., int]:
    client = TestClient(create_app(graph.service, tracer=kept.tracer), raise_server_exceptions=False)

    def ask(method: str, path: str, **given: Any) -> int:
        return client.request(method, path, **given).status_code

    return ask


def test_a_request_has_a_span_with_its_route_id_and_status(ask: Callable[..., int], kept: Kept, png: bytes) -> None:
    request = {"request": '{"prompts": [{"points": [[100, 60]]}]}'}
    assert ask("POST", "/segment", files={"image": png}, data=request, headers={"X-Request-ID": "mine"}) == 200
    root = kept.spans["POST /segment"]
    assert root.parent is None
    assert root.attributes is not None
    assert root.attributes["sam.request_id"] == "mine"
    assert root.attributes["http.response.status_code"] == 200
    decode = kept.spans["decode"]
    assert decode.parent is not None
    assert decode.parent.span_id == root.context.span_id


def test_what_a_caller_writes_into_the_path_names_no_span(ask: Callable[..., int], kept: Kept) -> None:
    assert ask("GET", "/embeddings/made-up-by-a-caller") == 404
    assert ask("GET", "/embeddings/made/up") == 404
    assert ask("GET", "/health") == 200
    assert sorted(kept.spans) == ["GET /embeddings/{image_id}", "request"]


def test_a_failure_of_the_server_is_one_of_the_span_and_a_callers_is_not(
    ask: Callable[..., int], graph: LocalGraph, kept: Kept, png: bytes
) -> None:
    graph.encoder.errors["record"] = [RuntimeError("on purpose")]
    assert ask("POST", "/embeddings", files={"image": png}) == 500
    assert ask("POST", "/segment", json={"prompts": []}) == 422
    assert kept.spans["POST /embeddings"].status.is_ok is False
    assert kept.spans["POST /segment"].status.is_unset


class Adder:
    async def add(self, a: int, b: int = 0) -> int:
        add_span("sum", 0.5, terms=2)
        return a + b

    async def fail(self) -> UnknownImage:
        return not_held()


@pytest.mark.anyio
async def test_a_deployment_is_called_with_and_without_a_trace(kept: Kept) -> None:
    adder = traced(Adder)()
    assert await adder.add(1, b=2) == 3
    assert carrier() is None
    with kept.tracer.span("request", SpanKind.SERVER, {"traceparent": f"00-{TRACE}-{SPAN}-01"}) as span:
        taken = carrier()
        assert taken is not None
        assert pickle.loads(pickle.dumps(taken)) == taken
        assert taken.traceparent == f"00-{TRACE}-{span.get_span_context().span_id:016x}-01"
        add_span("read", 0.25)
    assert carrier() is None
    read = kept.spans["read"]
    assert read.end_time is not None
    assert read.start_time is not None
    assert read.end_time - read.start_time == 250_000_000


def test_a_collector_is_an_address_without_a_password() -> None:
    good = {"http://127.0.0.1:4318": "http://127.0.0.1:4318", "https://otel.example.org/": "https://otel.example.org"}
    for text, expected in good.items():
        assert resolve({"SAM_OTLP_ENDPOINT": text}).settings.otlp_endpoint == expected
    for text in ("127.0.0.1:4318", "grpc://a:4317", "http://me:secret@a:4318", "http://a:4318/v1/traces", "true"):
        with pytest.raises(ConfigurationError) as caught:
            resolve({"SAM_OTLP_ENDPOINT": text})
        assert "SAM_OTLP_ENDPOINT" in str(caught.value)
        assert "secret" not in str(caught.value)
