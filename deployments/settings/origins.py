"""Web origins (`https://example.org:8443`) in settings: whose pages may call, and whose pictures may be fetched."""

import re

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:]+\](:\d{1,5})?")
_OWN_PORT = re.compile(r"^(https://.*):443$|^(http://.*):80$")


def parse_origins(text: str) -> tuple[str, ...]:
    """Web origins, comma separated, or `*` alone.

    Raises:
        ValueError: one could never be the `Origin` of a page.
    """
    origins = tuple(entry.strip().lower() for entry in text.split(","))
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin; write https://example.org, with a port if need be and no path")
    if "*" in origins and len(origins) > 1:
        raise ValueError("* goes alone: it stands for every origin")
    return origins


def parse_picture_origins(text: str) -> tuple[str, ...]:
    """Web origins that pictures are fetched from, comma separated; each without its scheme's own port.

    Raises:
        ValueError: one is none, or `*`.
    """
    origins = parse_origins(text)
    if "*" in origins:
        raise ValueError("name every origin: a server that fetches from anywhere reads your own network for strangers")
    return tuple(_OWN_PORT.sub(r"\1\2", origin) for origin in origins)
