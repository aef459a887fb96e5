"""Our log lines go where Serve's go, also after Serve has changed where that is."""

import logging
from collections.abc import Iterator

import pytest

from deployments.telemetry.logs import log_with_serve


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def serve_logger() -> Iterator[logging.Logger]:
    serve = logging.getLogger("ray.serve")
    ours = [logging.getLogger(name) for name in ("deployments", "segmentation")]
    parents, handlers, level = [logger.parent for logger in ours], list(serve.handlers), serve.level
    yield serve
    serve.handlers[:] = handlers
    serve.setLevel(level)
    for logger, parent in zip(ours, parents, strict=True):
        logger.parent = parent


def test_lines_follow_serve_to_new_handlers_and_levels(serve_logger: logging.Logger) -> None:
    log_with_serve()
    late = Lines()
    serve_logger.handlers[:] = [late]
    serve_logger.setLevel(logging.WARNING)
    for name in ("deployments.calls.remote", "segmentation.weights.checkpoints"):
        logging.getLogger(name).info("too quiet")
        logging.getLogger(name).warning("from %s", name)
    assert late.lines == ["from deployments.calls.remote", "from segmentation.weights.checkpoints"]
