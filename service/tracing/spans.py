"""Spans: one of every request, and below it one of every stage.

They say which route was asked, how it went and how long its stages took, and nothing of who asked
for what: no paths, queries, bodies, ids of users or items, addresses.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
)
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import TracingUnavailable
from service.metrics import Metrics, Stage

_EXPORTERS: dict[str, Callable[[], SpanExporter]] = {
    "otlp": OTLPSpanExporter,
    "console": ConsoleSpanExporter,
}
_PROBES = ("/health/", "/metrics")
_PARENT = (b"traceparent", b"tracestate")
_P = ParamSpec("_P")
_T = TypeVar("_T")


def check_exporter() -> None:
    """Checks where spans are to go.

    Raises:
        TracingUnavailable: ``OTEL_TRACES_EXPORTER`` names none that is known here.
    """
    name = _exporter_name()
    if name != "none" and name not in _EXPORTERS:
        raise TracingUnavailable(
            f"OTEL_TRACES_EXPORTER is {name!r}; choose one of {', '.join(_EXPORTERS)}, none"
        )


def _exporter_name() -> str:
    return os.environ.get("OTEL_TRACES_EXPORTER", "otlp")


class Tracing:
    """The spans of one application; none before `open`.

    Attributes:
        provider: where spans go, as the standard ``OTEL_*`` variables say.
        tracer: makes them.
    """

    provider: TracerProvider
    tracer: Tracer

    def open(self) -> None:
        """Reads the variables, which `check_exporter` has checked, and starts a thread that sends.

        A process that is forked later would not have the thread.
        """
        resource = Resource.create()
        # So the library calls what no variable names.
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "mutualrec"}))
        self.provider = TracerProvider(resource=resource)
        name = _exporter_name()
        if name != "none":
            self.provider.add_span_processor(BatchSpanProcessor(_EXPORTERS[name]()))
        self.tracer = self.provider.get_tracer("mutualrec")

    def watch(self, metrics: Metrics) -> None:
        """Makes a span of whatever is observed of a stage from now on."""
        client = SpanKind.CLIENT
        redis = {"db.system.name": "redis"}
        metrics.redis_seconds = self._stage("redis", metrics.redis_seconds, client, redis)
        metrics.search_seconds = self._stage("search", metrics.search_seconds)
        metrics.ranking_seconds = self._stage("ranking", metrics.ranking_seconds)

    def executor(self, num_threads: int) -> ThreadPoolExecutor:
        """Threads whose spans are below those of whoever asked for the work."""
        return _Followed(num_threads, thread_name_prefix="search")

    def close(self) -> None:
        """Sends what was not sent yet; may take seconds."""
        self.provider.shutdown()

    def _stage(
        self,
        name: str,
        stage: Stage,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: dict[str, str] | None = None,
    ) -> Stage:
        return _TracedStage(self, name, stage, kind, attributes or {})


class _TracedStage:
    """Observes, and makes a span that ends now."""

    def __init__(
        self,
        tracing: Tracing,
        name: str,
        stage: Stage,
        kind: SpanKind,
        attributes: dict[str, str],
    ) -> None:
        self._tracing = tracing
        self._name = name
        self._stage = stage
        self._kind = kind
        self._attributes = attributes

    def observe(self, seconds: float) -> None:
        """Notes a stage that took so long."""
        self._stage.observe(seconds)
        # What no request waits for, such as looking for new versions, is in no trace.
        if not get_current_span().is_recording():
            return
        end = time.time_ns()
        span = self._tracing.tracer.start_span(
            self._name,
            kind=self._kind,
            attributes=self._attributes,
            start_time=end - round(seconds * 1e9),
        )
        span.end(end)


class _Followed(ThreadPoolExecutor):
    """Threads that work in the context of whoever submits."""

    # Any: keyword arguments of the work.
    def submit(
        self, work: Callable[_P, _T], /, *arguments: _P.args, **options: _P.kwargs
    ) -> "Future[_T]":
        """See `ThreadPoolExecutor`."""
        context = copy_context()
        return super().submit(lambda: context.run(work, *arguments, **options))


class TracingMiddleware:
    """A span around every request but probes, below the caller's if it sends ``traceparent``."""

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        """Wraps `app`."""
        self._app = app
        self._tracing = tracing
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection event."""
        if scope["type"] != "http" or scope["path"].removeprefix("/v1").startswith(_PROBES):
            await self._app(scope, receive, send)
            return
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _PARENT
        }
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"]
        with self._tracing.tracer.start_as_current_span(
            method,
            self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            # The text of an exception may hold anything.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, send_and_note)
            finally:
                route = getattr(scope.get("route"), "path_format", None)
                # Any: what OpenTelemetry takes.
                attributes: dict[str, Any] = {
                    "http.request.method": method,
                    "http.response.status_code": status,
                    "mutualrec.request_id": scope.get("state", {}).get("request_id", ""),
                }
                if route is not None:
                    span.update_name(f"{method} {route}")
                    attributes["http.route"] = route
                span.set_attributes(attributes)
                if status >= 500 or status == 0:
                    span.set_status(Status(StatusCode.ERROR))
