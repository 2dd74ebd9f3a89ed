"""Telemetry: turns and model calls as OpenTelemetry's spans and metrics, in the extra ``otel``."""
