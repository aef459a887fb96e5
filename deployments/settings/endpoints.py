"""Settings that name another service or a place outside this machine. None may hold a password: settings are logged."""

import re

_COLLECTOR = re.compile(r"https?://(?!.*/v1/traces/?$)[^@\s?#]+")


def parse_collector(text: str) -> str:
    """The address of an OpenTelemetry collector.

    Raises:
        ValueError: it is no HTTP address, or holds a password, which would be logged.
    """
    if not _COLLECTOR.fullmatch(text):
        raise ValueError(
            f"{text.rpartition('@')[2]!r} is no collector; write http://127.0.0.1:4318, without user and password "
            "(OTEL_EXPORTER_OTLP_HEADERS takes those) and without /v1/traces, which is added"
        )
    return text.rstrip("/")


def parse_store(text: str) -> str:
    """A directory, or a URL.

    Raises:
        ValueError: it holds a password, which would be logged.
    """
    if re.match(r"[a-z0-9+.:]+://[^/@]*:[^/]*@", text, re.IGNORECASE):
        raise ValueError("it holds a password, which would be logged; give the storage its credentials in its own way")
    return text
