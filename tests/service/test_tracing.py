import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.app import create_app
from service.errors import TracingUnavailable
from service.settings import Settings

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


def kept(client) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    client.state.tracing.provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def traced(start, deploy, make_draft, redis_url):
    """A running service and the spans that it has ended."""
    deploy(make_draft())
    client = start(redis_url=redis_url, tracing=True)
    return client, kept(client)


def spans(exporter: InMemorySpanExporter) -> dict[str, object]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_has_a_span_with_its_stages_below(traced):
    client, exporter = traced
    client.recommended("somebody")
    found = spans(exporter)
    assert set(found) == {"GET /recommend/{user_id}", "redis", "ranking"} | (
        found.keys() & {"search"}
    )
    request = found.pop("GET /recommend/{user_id}")
    assert request.kind is SpanKind.SERVER
    assert {span.parent.span_id for span in found.values()} == {request.context.span_id}
    assert all(span.start_time <= span.end_time <= request.end_time for span in found.values())


def test_searches_in_threads_are_below_their_request(traced):
    client, exporter = traced
    client.post("/recommend", json={"users": ["u1", "u2"], "diversity": 0.5})
    found = exporter.get_finished_spans()
    assert len({span.context.trace_id for span in found}) == 1
    assert "ranking" in {span.name for span in found}


def test_a_request_is_below_the_span_of_its_caller(traced):
    client, exporter = traced
    client.get("/popular", headers={"traceparent": PARENT})
    span = spans(exporter)["GET /popular"]
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]


def test_spans_say_nothing_of_who_asked_for_what(traced):
    client, exporter = traced
    event = {"user_id": "secret-user", "item_id": "secret-item", "session_id": "secret-session"}
    client.post("/interactions", json=event, headers={"X-API-Key": "secret-key"})
    client.get("/recommend/secret-user?session_id=secret-session&filter=title%3D'secret'")
    client.get("/similar/secret-item", headers={"X-Request-Id": "r1"})
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "secret" not in told
    assert spans(exporter)["GET /similar/{item_id}"].attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.route": "/similar/{item_id}",
        "mutualrec.request_id": "r1",
    }


def test_what_fails_is_marked(start):
    client = start(tracing=True)
    exporter = kept(client)
    client.post("/interactions", json={"user_id": "u", "item_id": "i"})
    assert spans(exporter)["POST /interactions"].status.status_code is StatusCode.ERROR


def test_probes_and_what_no_request_waits_for_have_no_spans(traced):
    client, exporter = traced
    for path in ("/health/live", "/v1/health/ready", "/metrics"):
        assert client.get(path).status_code == 200
    client.run(client.state.follower.catch_up("default"))
    assert exporter.get_finished_spans() == ()


def test_stages_are_still_counted(traced):
    client, _ = traced
    client.recommended("u1")
    assert 'mutualrec_stage_seconds_count{stage="ranking"} 1.0' in client.get("/metrics").text


def test_the_service_has_a_name_that_variables_change(start, monkeypatch):
    def name() -> object:
        return start(tracing=True).state.tracing.provider.resource.attributes["service.name"]

    assert name() == "mutualrec"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    assert name() == "shop"


def test_an_unknown_exporter_is_refused_at_the_start(start, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    with pytest.raises(TracingUnavailable, match="choose one of otlp, console, none"):
        start(tracing=True)


class _Collector(BaseHTTPRequestHandler):
    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


def test_spans_are_sent_where_the_standard_variable_says(
    deploy, client_type, tmp_path, monkeypatch
):
    deploy()
    _Collector.received = []
    with HTTPServer(("127.0.0.1", 0), _Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        monkeypatch.delenv("OTEL_TRACES_EXPORTER")
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}"
        )
        settings = Settings.load({}, home=tmp_path, index="cpu", tracing=True)
        with client_type(settings) as client:
            client.get("/popular")
        # What was not sent yet is sent when the service stops.
        collector.shutdown()
        thread.join()
    [(path, body)] = _Collector.received
    sent = ExportTraceServiceRequest.FromString(body)
    names = [s.name for r in sent.resource_spans for scope in r.scope_spans for s in scope.spans]
    assert (path, names) == ("/v1/traces", ["GET /popular"])


def test_an_application_that_is_not_started_has_no_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    before = threading.enumerate()
    app = create_app(Settings.load({}, home=tmp_path, index="cpu", tracing=True))
    assert app.state.service.tracing is not None
    assert threading.enumerate() == before


def test_by_default_nothing_of_it_is_loaded():
    code = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        "create_app(Settings.load({})); print('service.tracing.spans' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert shown.stdout.split() == ["False"]
