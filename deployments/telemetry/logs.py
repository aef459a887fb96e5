"""Our loggers, inside the processes of Serve, and the facts of the one line that each request has in the log."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

logger = logging.getLogger(__name__)

_FACTS: ContextVar[dict[str, object] | None] = ContextVar("sam_request_facts", default=None)


def log_with_serve() -> None:
    """Lets our log lines go where Serve's go: the replica's log file, with deployment, replica and request id.

    Called at the start of every process of the graph; elsewhere our loggers are left to whoever configures logging.
    """
    for name in ("deployments", "segmentation", "analysis"):
        # A parent, not a copy of its handlers and level: Serve replaces those when `logging_config` changes under a
        # running replica.
        logging.getLogger(name).parent = logging.getLogger("ray.serve")


@contextmanager
def request_facts() -> Iterator[dict[str, object]]:
    """What `note` is told in the block, by name."""
    facts: dict[str, object] = {}
    token = _FACTS.set(facts)
    try:
        yield facts
    finally:
        _FACTS.reset(token)


def note(**facts: object) -> None:
    """Adds to the current request's log line; nothing where there is no request."""
    if (known := _FACTS.get()) is not None:
        known.update(facts)


def log_request(line: str, facts: Mapping[str, object], level: int = logging.INFO) -> None:
    """Writes the one line of a request.

    Args:
        line: what it was.
        facts: follow as `name=value`; as fields of their own, `sam_name`, where the log is JSON.
    """
    text = " ".join([line, *(f"{name}={_shown(value)}" for name, value in facts.items())])
    logger.log(level, "%s", text, extra={f"sam_{name}": value for name, value in facts.items()})


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_shown(part)}" for name, part in value.items())
    return f"{value:.0f}" if isinstance(value, float) else str(value)
