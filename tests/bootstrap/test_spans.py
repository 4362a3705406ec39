"""Spans as OpenTelemetry exports them: of a webhook, of the call that follows from it, and none where nobody asks."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.bootstrap.spans import SERVICE, OpenTelemetry, export_spans, provider_of
from app.config.settings import Settings
from app.remote import spans, trace
from app.remote.transport import Transport
from tests.fakes import FakeClock
from tests.far_side import far_side
from tests.test_logs import configured
from tests.web_fakes import FakeBridge, sign

ID, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    """Where spans of this process go."""
    provider, exporter = provider_of(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans.export_by(OpenTelemetry(provider))
    yield exporter
    spans.export_by(None)
    provider.shutdown()


def told(span: ReadableSpan) -> dict[str, Any]:
    return {"name": span.name, **(span.attributes or {})}


def posted(bridge: FakeBridge, headers: Mapping[str, str]) -> None:
    body = b"evt-1\nalert-7"
    client = bridge.app().test_client()
    answer = client.post("/truthvouch/alerts?secret=1", data=body, headers={**sign(body), **headers})
    assert 202 == answer.status_code


def test_a_call_is_below_the_webhook_that_it_follows_from(exported: InMemorySpanExporter):
    bridge = FakeBridge(FakeClock())
    posted(bridge, {"traceparent": f"00-{ID}-{PARENT}-01", "tracestate": "rojo=1"})
    kept = bridge.inbox.only.trace
    transport = Transport()
    with far_side() as partner, trace.current(kept):
        partner.will_answer(202)
        transport.call("POST", f"{partner.url}/v2/enqueue?key=secret", json={}, target="pagerduty")
        carried = partner.only_request.headers
        port = int(partner.url.rpartition(":")[2])
    transport.close()
    accept, call = exported.get_finished_spans()
    assert {
        "name": "POST /truthvouch/alerts",
        "http.request.method": "POST", "http.route": "/truthvouch/alerts", "url.path": "/truthvouch/alerts",
        "url.scheme": "http", "http.response.status_code": 202,
    } == told(accept)  # fmt: skip
    assert {
        "name": "POST", "http.request.method": "POST", "server.address": "127.0.0.1", "server.port": port,
        "url.full": f"http://127.0.0.1:{port}/v2/enqueue", "peer.service": "pagerduty",
        "http.response.status_code": 202,
    } == told(call)  # fmt: skip
    assert accept.parent
    assert accept.context
    assert call.parent
    assert call.context
    assert [int(ID, 16)] * 2 == [accept.context.trace_id, call.context.trace_id]
    assert (int(PARENT, 16), accept.context.span_id) == (accept.parent.span_id, call.parent.span_id)
    assert (f"00-{ID}-{call.context.span_id:016x}-01", "rojo=1") == tuple(
        carried[name] for name in ("traceparent", "tracestate")
    )
    assert SERVICE == accept.resource.attributes["service.name"]


def test_a_webhook_without_a_trace_begins_one_that_the_log_and_the_inbox_name(exported: InMemorySpanExporter):
    bridge = FakeBridge(FakeClock())
    posted(bridge, {})
    (accept,) = exported.get_finished_spans()
    assert accept.context
    assert accept.parent is None
    assert f"{accept.context.trace_id:032x}-01-{accept.context.span_id:016x}" == bridge.inbox.only.trace


def test_a_trace_that_its_sender_does_not_sample_is_not_exported(exported: InMemorySpanExporter):
    posted(FakeBridge(FakeClock()), {"traceparent": f"00-{ID}-{PARENT}-00"})
    assert () == exported.get_finished_spans()


def test_what_failed_says_why(exported: InMemorySpanExporter):
    transport = Transport(hides_paths=True)
    transport.call("GET", "http://127.0.0.1:9/secret/token", target="heartbeat")
    transport.close()
    (call,) = exported.get_finished_spans()
    assert ("connect_failed", "http://127.0.0.1:9") == tuple(told(call)[name] for name in ("error.type", "url.full"))
    assert not call.status.is_ok


@pytest.mark.parametrize("path", ["/e/a-secret-token", "/E/a-secret-token/acknowledge", "/console/link/a-secret-token"])
def test_no_link_that_lets_somebody_in_is_in_a_span(exported: InMemorySpanExporter, path: str):
    FakeBridge(FakeClock()).app(BRIDGE_ADMIN_TOKEN="t").test_client().get(f"{path}?a-secret-token")
    (request,) = exported.get_finished_spans()
    assert "a-secret-token" not in request.to_json()


def test_health_checks_are_no_spans(exported: InMemorySpanExporter):
    client = FakeBridge(FakeClock()).app().test_client()
    for path in ("/healthz", "/readyz", "/metrics"):
        client.get(path)
    assert () == exported.get_finished_spans()


@pytest.mark.parametrize(
    ("variables", "asks"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "bridge"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_spans_are_exported_where_the_standard_variables_ask_for_it(variables: dict[str, str], asks: bool):
    assert asks is Settings.from_env(variables).exports_spans


def test_nothing_of_it_is_loaded_unless_somebody_asks():
    code = (
        "import sys; from app import create_app; from app.config.settings import Settings; "
        "create_app(Settings.from_env({})); print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == said.stdout.splitlines()[-1]


def test_without_the_extra_the_bridge_works_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    export_spans(Settings.from_env({"OTEL_TRACES_EXPORTER": "otlp", "BRIDGE_DATA_DIR": str(tmp_path)}))
    assert "pip install '.[otel]'" in capsys.readouterr().out
    assert spans.of_call("GET", "http://127.0.0.1", "", False) is None


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
def test_no_malformed_header_for_the_collector_is_in_the_log(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "x-tenant=a , Authorization: Bearer abc-123, second secret")
    with configured("json") as out:
        export_spans(Settings.from_env({"OTEL_TRACES_EXPORTER": "otlp"}))
        tracer: Any = spans.tracer
        spans.export_by(None)
        tracer.provider.shutdown()
    assert "Header format invalid" in out.getvalue()
    for secret in ("abc-123", "second secret"):
        assert secret not in out.getvalue()


def test_it_exports_to_the_collector_that_the_variables_name(monkeypatch: pytest.MonkeyPatch):
    with far_side() as collector:
        collector.will_answer(200)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "another name")
        export_spans(Settings.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}))
        tracer: Any = spans.tracer
        try:
            span = spans.of_call("GET", "http://127.0.0.1/x", "", False)
            assert span is not None
            spans.answered(span, 200, 400)
            tracer.provider.force_flush()
        finally:
            spans.export_by(None)
            tracer.provider.shutdown()
        call = collector.only_request
        assert ("/v1/traces", True) == (call.path, b"another name" in call.body)
