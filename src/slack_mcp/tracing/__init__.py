"""Traces for OpenTelemetry, where the extra `otel` is installed and a collector is named: nothing else imports this."""
