"""A token for Ray's own cluster where its user has no home folder, in which Ray would keep one. Knows no Ray."""

import os
import secrets
from collections.abc import MutableMapping, Sequence
from pathlib import Path

NAMES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


def prepare_token(arguments: Sequence[str], environ: MutableMapping[str, str]) -> None:
    """Sets `RAY_AUTH_TOKEN` to a new token, where Ray needs one, none is given and `~/.ray` can't be written.

    Args:
        arguments: of `serve run`. Only with `--address local` the cluster is this server's own.
    """
    if "local" not in arguments or any(environ.get(name) for name in NAMES):
        return
    if (environ.get("RAY_AUTH_MODE") or "token").lower() == "token" and not _keeps_files():
        environ[NAMES[0]] = secrets.token_hex(32)


def _keeps_files() -> bool:
    try:
        folder = Path.home() / ".ray"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a user without an entry in the system's list has no home
        return False
    return os.access(folder, os.W_OK) or os.access(folder / "auth_token", os.R_OK)
