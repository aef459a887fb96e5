"""Whether the addresses that a server needs are there: its port, and paths that are short enough for Ray's sockets."""

import errno
import http.client
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

SERVE_DEFAULTS = {"host": "127.0.0.1", "port": 8000}


def address_of(arguments: Sequence[str]) -> tuple[str, int] | None:
    """(host, port) that the config file among the arguments of `serve run` names; None if that can't be told."""
    files = [Path(argument) for argument in arguments if argument.endswith((".yaml", ".yml"))]
    if not files or not files[-1].is_file():
        return None
    try:
        document = yaml.safe_load(files[-1].read_text(encoding="utf-8"))
        options = {**SERVE_DEFAULTS, **(document.get("http_options") or {})}
        return str(options["host"]), int(options["port"])
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return None  # Serve reads the file next, and says what is wrong with it


def taken_address(arguments: Sequence[str]) -> str | None:
    """`host:port` if another program listens there; None if it is free, or if that can't be told.

    Args:
        arguments: of `serve run`. Only with `--address local` Serve opens the port itself, on this machine.
    """
    address = address_of(arguments)
    if address is None or "local" not in arguments:
        return None
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return f"{host}:{port}" if error.errno == errno.EADDRINUSE else None
        except OverflowError:
            return None  # no port at all
    return None


def answers(address: tuple[str, int], seconds: float) -> bool:
    """Whether a server there answers `GET /health` with success. `0.0.0.0` and `::` are asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])
    connection = http.client.HTTPConnection(host, address[1], timeout=seconds)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


MAX_SOCKET_PATH = 107
"""Bytes of a Unix socket's path, on Linux."""
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


def too_long_for_sockets(environ: Mapping[str, str]) -> str | None:
    """The folder for temporary files, if Ray's sockets would not fit below it."""
    folder = environ.get("RAY_TMPDIR") or environ.get("TMPDIR") or "/tmp"
    return folder if len(folder.rstrip("/").encode()) + len(_SOCKET) > MAX_SOCKET_PATH else None
