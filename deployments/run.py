"""`serve run` that answers what it has let in before it stops.

    python -m deployments.run --address local config/serve.yaml

Takes what `serve run` takes. On SIGTERM or Ctrl-C the ingress lets nobody in any more, and `/health` says so; once
nothing is under way, Serve is shut down. How long that takes is bounded by the deadlines of requests. A second signal
stops everything at once. It starts nothing where its port is taken, and logs when every application runs. Knows of the
server only that its ingress can be closed.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus
from ray.serve.scripts import run

from deployments.address import taken_address

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ASKED_EVERY_S = 0.2
READY_ASKED_EVERY_S = 1.0
PATIENCE_S = 5.0
LAST_BYTES_S = 1.0
"""An answer that has left the ingress is still on its way through the proxy."""

logger = logging.getLogger("ray.serve")


def main() -> None:
    if taken := taken_address(sys.argv[1:]):
        sys.exit(f"{taken} is taken: stop what listens there, or change the port in a copy of the config file")
    run.main(["--non-blocking", *sys.argv[1:]], prog_name="deployments.run", standalone_mode=False)
    asked_to_stop = threading.Event()
    _on_signal(asked_to_stop.set)
    while not asked_to_stop.wait(READY_ASKED_EVERY_S):
        if _all_run():
            logger.info("ready: every application runs")
            break
    asked_to_stop.wait()
    _on_signal(lambda: sys.exit(1))
    if _close():
        logger.info("stopping once the requests under way are answered; a second signal stops at once")
        while _close():
            time.sleep(ASKED_EVERY_S)
        time.sleep(LAST_BYTES_S)
    serve.shutdown()  # type: ignore[no-untyped-call]


def _on_signal(do: Callable[[], object]) -> None:
    for number in SIGNALS:
        signal.signal(number, lambda *_: do())


def _all_run() -> bool:
    try:
        applications = serve.status().applications.values()
    except (RayError, RayServeException):
        return False  # the controller starts again
    return bool(applications) and all(app.status == ApplicationStatus.RUNNING for app in applications)


def _close() -> int:
    """Closes every ingress, also one that has started since, and returns how many requests are under way."""
    return sum(_close_app(name) for name in serve.status().applications)


def _close_app(name: str) -> int:
    try:
        answers = serve.get_app_handle(name).broadcast("close").results(timeout_s=PATIENCE_S, return_exceptions=True)
    except (RayError, RayServeException, TimeoutError):
        return 0  # it has no ingress that could answer anybody
    return sum(answer for answer in answers if isinstance(answer, int))


if __name__ == "__main__":
    main()
