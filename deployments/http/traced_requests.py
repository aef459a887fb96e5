"""The edge of a trace: an ASGI middleware that opens a request's span. Knows no Ray."""

from collections.abc import Callable

from opentelemetry.trace import SpanKind, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http.headers import path_of
from deployments.telemetry.tracing import Tracer


class TracedRequests:
    """ASGI middleware: the span of a request, below the caller's own `traceparent` if there is one.

    Needs the `request_id` in the request's state.

    Args:
        is_work: whether requests for a path have a trace; those for `/health` have none, load balancers ask all day.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer, is_work: Callable[[str], bool]) -> None:
        self._app = app
        self._tracer = tracer
        self._is_work = is_work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_work(path_of(scope)):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        with self._tracer.span("request", SpanKind.SERVER, given) as span:
            span.set_attribute("sam.request_id", scope["state"]["request_id"])

            async def send_noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self._app(scope, receive, send_noting)
            finally:
                # The route, not the path: a path can hold anything.
                if (route := getattr(scope.get("route"), "path", None)) is not None:
                    span.set_attribute("http.route", route)
                    span.set_attribute("http.request.method", scope["method"])
                    span.update_name(f"{scope['method']} {route}")
