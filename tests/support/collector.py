"""An OpenTelemetry collector: a real HTTP server that takes OTLP protobuf and keeps the spans."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class SentSpan:
    """One span as it arrived; ids in hex, the parent's empty for a root. Attributes with their values as text."""

    part: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str]


class Collector:
    """What arrived so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[SentSpan] = []

    def take(self, body: bytes) -> None:
        for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = {one.key: one.value.string_value for one in sent.resource.attributes}
            assert resource["service.name"] == "sam-serve"
            for scope in sent.scope_spans:
                for span in scope.spans:
                    values = {one.key: one.value for one in span.attributes}
                    attributes = {key: str(getattr(value, value.WhichOneof("value"))) for key, value in values.items()}
                    self.spans.append(
                        SentSpan(
                            resource["sam.deployment"],
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            attributes,
                        )
                    )

    def settled(self, request_id: str, patience_s: float = 15.0, quiet_s: float = 3.0) -> list[SentSpan]:
        """The spans of the request's trace, once its root has arrived and no more spans come."""
        deadline = time.monotonic() + patience_s
        count, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            traces = {span.trace for span in self.spans if span.attributes.get("sam.request_id") == request_id}
            found = [span for span in self.spans if span.trace in traces]
            if len(found) != count:
                count, since = len(found), time.monotonic()
            elif found and time.monotonic() - since > quiet_s:
                return found
            time.sleep(0.1)
        raise TimeoutError(f"no settled trace of {request_id} among {len(self.spans)} spans")


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            if known:
                collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, name="collector")
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
