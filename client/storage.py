"""Files that appear whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from client.errors import InvalidArgument


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside the file and renames: a reader never sees half of it, and a failure leaves what was there.

    Raises:
        InvalidArgument: the file can't be written.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with open(handle, "wb") as file:  # noqa: PTH123 - of a descriptor
            file.write(data)
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        raise InvalidArgument(f"can't write {str(path)!r}: {error.strerror}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """The document as UTF-8 JSON, indented."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
