"""Spans, exported by OpenTelemetry where its standard variables ask for that and the extra ``otel`` is installed.

Nothing of it is imported otherwise. Which collector, which sampler, how often: its SDK reads the variables itself.
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from app import logs
from app.config.environment import collector_headers
from app.config.settings import Settings
from app.remote import spans, trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = structlog.get_logger()

SERVICE = "truthvouch-pagerduty-bridge"
"""``service.name``, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another."""


def export_spans(settings: Settings) -> None:
    """Begin to, where it is asked for. Never raises: a bridge without spans still pages."""
    if not settings.exports_spans:
        return
    logs.conceal(collector_headers(os.environ))
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = provider_of()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ImportError:
        log.warning("spans.not_exported", remedy="install the extra: pip install '.[otel]'")
    except Exception as fault:  # a variable that its SDK cannot read
        log.warning("spans.not_exported", reason=type(fault).__name__, message=str(fault)[:200])
    else:
        spans.export_by(OpenTelemetry(provider))


def provider_of() -> "TracerProvider":
    """What makes spans, named as this service."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    return TracerProvider(resource=resource)


class OpenTelemetry:
    """Implements ``remote.spans.Tracer``."""

    def __init__(self, provider: "TracerProvider") -> None:
        self.provider = provider
        self._tracer = provider.get_tracer(SERVICE, version(SERVICE))

    def begin(
        self, name: str, kind: spans.SpanKind, parent: trace.Kept | None, attributes: Mapping[str, str | int]
    ) -> "_Span":
        """A span below ``parent``. A request without a sender begins a trace of its own."""
        from opentelemetry.context import Context
        from opentelemetry.trace import (
            NonRecordingSpan,
            SpanContext,
            SpanKind,
            TraceFlags,
            TraceState,
            set_span_in_context,
        )

        context = Context()
        if parent is not None and (parent.span or kind is spans.SpanKind.CLIENT):
            above = SpanContext(
                int(parent.trace, 16),
                int(parent.span or trace.fresh_span(), 16),
                is_remote=True,
                trace_flags=TraceFlags(int(parent.flags, 16)),
                trace_state=TraceState.from_header([parent.state]),
            )
            context = set_span_in_context(NonRecordingSpan(above), context)
        begun = self._tracer.start_span(name, context, SpanKind[kind.name], attributes)
        return _Span(begun, parent.state if parent else "")


class _Span:
    def __init__(self, span: "Span", state: str) -> None:
        self._span, self._state = span, state

    @property
    def context(self) -> trace.Kept:
        at = self._span.get_span_context()
        flags = f"{at.trace_flags & trace.SAMPLED:02x}"
        return trace.Kept(f"{at.trace_id:032x}", flags, f"{at.span_id:016x}", self._state)

    def end(self, attributes: Mapping[str, str | int], error: str = "") -> None:
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attributes(dict(attributes))
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
