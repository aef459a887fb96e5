"""`serve run` that says when it is ready, answers what it has let in before it stops, and ends when its server has.

    python -m deployments.run --address local config/serve.yaml

Takes what `serve run` takes. On SIGTERM or Ctrl-C the ingress lets nobody in any more, and `/health` says so; once
nothing is under way, Serve is shut down. How long that takes is bounded by the deadlines of requests. A second signal
stops everything at once. Where the server can't start, or where a process of Ray that it needs is gone, one line says
why, and the exit status is 1. Knows of the server only that its ingress can be closed.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ApplicationStatus
from ray.serve.scripts import run

from deployments.address import address_of, answers, taken_address, too_long_for_sockets
from deployments.preflight import read_config
from deployments.ray_token import prepare_token
from segmentation.errors import ConfigurationError

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ASKED_EVERY_S = 0.2
LOOKED_EVERY_S = 1.0
STATUS_EVERY_S = 5.0
PATIENCE_S = 5.0
STATUS_PATIENCE_S = 15.0
"""A busy machine that still starts replicas answers late."""
SILENT_S = 25.0
"""Of Serve's controller, once the server has been ready: it starts again within seconds where it can."""
SILENT_BUT_ANSWERING_S = 120.0
"""The same where the server still answers `/health`: on a busy machine the controller is late, and nobody misses it."""
SHUTDOWN_S = 30.0
NEEDED = {"raylet", "gcs_server"}
"""Kinds of Ray's processes. It serves without its dashboard and its log monitor."""
LAST_BYTES_S = 1.0
"""An answer that has left the ingress is still on its way through the proxy."""

logger = logging.getLogger("ray.serve")


def main() -> None:
    if "--help" in sys.argv[1:]:
        run.main(["--help"], prog_name="deployments.run")
    if taken := taken_address(sys.argv[1:]):
        sys.exit(f"{taken} is taken: stop what listens there, or change the port in a copy of the config file")
    if folder := too_long_for_sockets(os.environ):
        sys.exit(f"{folder} is too long a path for Ray's sockets: set RAY_TMPDIR to a short one, as RAY_TMPDIR=/tmp")
    _check_files(sys.argv[1:])
    prepare_token(sys.argv[1:], os.environ)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _on_signal(lambda: sys.exit(1))
    try:
        run.main(["--non-blocking", *sys.argv[1:]], prog_name="deployments.run", standalone_mode=False)
    except SystemExit:  # with 0 for errors of its own; and for a signal, also by Ray's handler
        _on_signal(lambda: _end(1))
        _shut_down(is_broken=True)
        _end(1)
    except Exception as error:  # Ray raises plain ones
        _on_signal(lambda: _end(1))
        logger.error("Ray can't start: %s", last_line(str(error)))
        _shut_down(is_broken=True)
        _end(1)
    asked_to_stop = threading.Event()
    _on_signal(asked_to_stop.set)
    fault = _watch(asked_to_stop)
    if fault is None:
        _on_signal(lambda: _end(1))
        _drain()
    else:
        logger.error("%s; stopping", fault)
        # Nothing is left to wait for, and a signal that came now would change nothing.
        _on_signal(lambda: None)
    _shut_down(is_broken=fault is not None)
    _end(0 if fault is None else 1)


def _check_files(arguments: Sequence[str]) -> None:
    """Ends with one line where a config file can't be read, or has a key that Serve would drop."""
    for argument in arguments:
        if argument.endswith((".yaml", ".yml")) and Path(argument).is_file():
            try:
                read_config(Path(argument))
            except ConfigurationError as error:
                sys.exit(error.message)


def _watch(asked_to_stop: threading.Event) -> str | None:
    """Returns None once the server is asked to stop, or what keeps it from serving."""
    is_ready = False
    heard = looked = time.monotonic()
    while not asked_to_stop.wait(LOOKED_EVERY_S):
        if gone := _gone_processes():
            return f"Ray's {gone} is gone"
        now = time.monotonic()
        if is_ready and now - looked < STATUS_EVERY_S:
            continue
        looked = now
        patience = min(STATUS_PATIENCE_S, max(1.0, heard + SILENT_S - now)) if is_ready else STATUS_PATIENCE_S
        applications = bounded(lambda: serve.status().applications, patience)
        if applications is None:
            silent_s = time.monotonic() - heard
            if is_ready and silent_s >= SILENT_S and (silent_s >= SILENT_BUT_ANSWERING_S or not _still_answers()):
                return f"Serve's controller has given no answer for {silent_s:.0f} s"
            continue
        heard = time.monotonic()
        for name, application in applications.items():
            if application.status == ApplicationStatus.DEPLOY_FAILED and not is_ready:
                return f"the application {name} can't start: {last_line(application.message)}"
        if (
            not is_ready
            and applications
            and all(app.status == ApplicationStatus.RUNNING for app in applications.values())
        ):
            is_ready = True
            logger.info("ready: every application runs")
    return None


def _still_answers() -> bool:
    address = address_of(sys.argv[1:])
    return address is not None and answers(address, PATIENCE_S)


def last_line(message: str) -> str:
    """What a traceback ends in, without the name of the exception's class."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    text = lines[-1] if lines else "no reason was given"
    name, colon, rest = text.partition(": ")
    return rest if colon and name.replace(".", "").isidentifier() else text


def bounded(work: Callable[[], T], seconds: float) -> T | None:
    """What the work returns; None if it fails as calls of Ray do, or takes longer. Then its thread is left behind."""
    answers: list[T] = []

    def do() -> None:
        try:
            answers.append(work())
        except (RayError, RayServeException, TimeoutError, ConnectionError, RuntimeError, ValueError) as error:
            logger.debug("a call of Ray failed", exc_info=error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else None


def _gone_processes() -> str:
    """Processes of Ray's that this one has started, that serving needs, and that have ended, by their kind."""
    node: Any = ray._private.worker._global_node
    gone = {kind for kind, _ in node.dead_processes()} if node is not None else set()
    return ", ".join(sorted(gone & NEEDED))


def _on_signal(do: Callable[[], object]) -> None:
    for number in SIGNALS:
        signal.signal(number, lambda *_: do())


def _drain() -> None:
    """Lets nobody in any more, and returns once nothing is under way."""
    told = False
    while not _gone_processes():
        under_way = bounded(_close, 2 * PATIENCE_S)
        if not under_way:
            break
        if not told:
            logger.info("stopping once the requests under way are answered; a second signal stops at once")
        told = True
        time.sleep(ASKED_EVERY_S)
    if told:
        time.sleep(LAST_BYTES_S)


def _close() -> int:
    """Closes every ingress, also one that has started since, and returns how many requests are under way."""
    return sum(_close_app(name) for name in serve.status().applications)


def _close_app(name: str) -> int:
    try:
        answers = serve.get_app_handle(name).broadcast("close").results(timeout_s=PATIENCE_S, return_exceptions=True)
    except (RayError, RayServeException, TimeoutError):
        return 0  # it has no ingress that could answer anybody
    return sum(answer for answer in answers if isinstance(answer, int))


def _shut_down(*, is_broken: bool) -> None:
    """Ends Serve and Ray. Ray tells of its own calls that end with it; that is not shown."""
    logger.info("stopping Ray")
    sys.stdout.flush()
    sys.stderr.flush()
    shown = os.dup(2)
    hidden = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(hidden, stream)
    if not is_broken:
        bounded(serve.shutdown, SHUTDOWN_S)
    node: Any = ray._private.worker._global_node
    bounded(ray.shutdown, SHUTDOWN_S if not is_broken else PATIENCE_S)
    if node is not None:
        bounded(lambda: node.kill_all_processes(check_alive=False), PATIENCE_S)
    os.dup2(shown, 2)


def _end(status: int) -> NoReturn:
    """Ends this process, whatever thread of it still waits for Ray."""
    os.write(2, b"stopped\n" if status == 0 else b"stopped, not in order\n")
    os._exit(status)


if __name__ == "__main__":
    main()
