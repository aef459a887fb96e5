"""Errors as one line on the screen. Knows the error trees, imports neither."""

import os
import sys

WRONG_USE, INTERRUPTED = 2, 130


def say(line: str) -> None:
    """One line on standard error, whatever encoding the terminal has."""
    encoding = sys.stderr.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def shown(path: object) -> str:
    """A path for people, on one line: bytes that are no UTF-8 are replaced, control characters escaped."""
    text = os.fsencode(str(path)).decode("utf-8", "replace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {shown(error.filename)}" if error.filename else error.strerror
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    if getattr(error, "code", "") == "unauthorized":
        text = f"{text}; commands take it from SAM_API_KEY"
    pointer = getattr(error, "pointer", "")
    return f"{pointer.lstrip('/')}: {text}" if isinstance(pointer, str) and pointer else str(text)
