"""One OpenTelemetry trace per request over the whole graph. Off, and next to free, unless a collector is named.

A request's span is opened at the edge of the ingress (`TracedRequests`); `carrier` takes it along in every call of
another deployment, where `traced` opens the call's span; `add_span` adds what was timed anyway. Ray Serve has a tracing
of its own, which is not used: `serve run` does not hand the config's to its proxies, its exporter can be set up by the
environment of every process only, and it names spans by the raw path.

Knows neither Ray nor HTTP.
"""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar

from opentelemetry import context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from segmentation.errors import SegmentationError

T = TypeVar("T")

SEND_EVERY_MS = 1000
"""Spans of a replica that is killed are lost for so long."""

_W3C = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Carrier:
    """What a call takes along: where spans are sent, and the span that it belongs to, as W3C writes it."""

    endpoint: str
    traceparent: str


class Tracer:
    """Makes the spans of one replica.

    Args:
        part: the deployment, which names the spans of its calls.
        endpoint: the collector's, handed on to the replicas that are called.
        processor: takes the spans that ended.
    """

    def __init__(self, part: str, endpoint: str, processor: SpanProcessor) -> None:
        self.part = part
        self.endpoint = endpoint
        resource = Resource.create({"service.name": "sam-serve", "sam.deployment": part})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(processor)
        self._tracer = provider.get_tracer("sam_serve")

    @contextmanager
    def span(self, name: str, kind: SpanKind, carrier: dict[str, str]) -> Iterator[Span]:
        """A span around a block, under the one that the W3C headers name, if they do."""
        parent = _W3C.extract(carrier, context.Context())
        token = _TRACER.set(self)
        try:
            with self._tracer.start_as_current_span(name, parent, kind, record_exception=False) as span:
                yield span
        finally:
            _TRACER.reset(token)

    def add(self, name: str, start_ns: int, end_ns: int, attributes: dict[str, int]) -> None:
        """A span that has ended, under the current one."""
        self._tracer.start_span(name, start_time=start_ns, attributes=attributes).end(end_ns)


_TRACER: ContextVar[Tracer | None] = ContextVar("sam_tracer", default=None)


@cache
def open_tracer(endpoint: str, part: str) -> Tracer:
    """The tracer of this process, which sends to the collector at the endpoint over HTTP."""
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    return Tracer(part, endpoint, BatchSpanProcessor(exporter, schedule_delay_millis=SEND_EVERY_MS))


def add_span(name: str, seconds: float, *, ended_s_ago: float = 0.0, **sizes: int) -> None:
    """Adds to the current trace what took so long and ended so long ago; nothing where there is no trace."""
    if (tracer := _TRACER.get()) is not None:
        end_ns = time.time_ns() - int(ended_s_ago * 1e9)
        attributes = {f"sam.{key}": value for key, value in sizes.items()}
        tracer.add(name, end_ns - int(seconds * 1e9), end_ns, attributes)


def carrier() -> Carrier | None:
    """What a call of another deployment takes along as `trace`; None where nothing is traced."""
    tracer = _TRACER.get()
    if tracer is None or not get_current_span().is_recording():
        return None
    written: dict[str, str] = {}
    _W3C.inject(written)
    return Carrier(tracer.endpoint, written["traceparent"])


def traced(deployment: type[T]) -> type[T]:
    """Lets every public coroutine method of a deployment take a `Carrier` as `trace`, and have a span then."""
    for name, method in tuple(vars(deployment).items()):
        if iscoroutinefunction(method) and not name.startswith("_"):
            setattr(deployment, name, _traced(deployment.__name__, method))
    return deployment


def _traced(part: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def call(*args: Any, trace: Carrier | None = None, **kwargs: Any) -> Any:
        if trace is None:
            return await method(*args, **kwargs)
        tracer = open_tracer(trace.endpoint, part)
        with tracer.span(f"{part}.{method.__name__}", SpanKind.SERVER, {"traceparent": trace.traceparent}) as span:
            answer = await method(*args, **kwargs)
            if isinstance(answer, SegmentationError):
                span.set_attribute("error.type", answer.code)
            return answer

    return call
