"""Settings that both clients give httpx, and the translation between it and `exchange`."""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from client.errors import ConnectionFailed, InvalidArgument
from client.exchange import Call, Reply

CONNECT_TIMEOUT_S = 10.0
DEFAULT_TIMEOUT_S = 1800.0
"""Without a byte from the server; its own longest deadline is as long."""


@dataclass(frozen=True)
class Address:
    """Where the server is and who asks."""

    url: str
    api_key: str | None
    timeout_s: float

    def options(self) -> dict[str, Any]:
        """What httpx's clients are made with. Redirects are not followed: a key would go where it should not."""
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return {
            "base_url": self.url,
            "headers": {"User-Agent": "sam-serve-client", **headers},
            "timeout": httpx.Timeout(self.timeout_s, connect=CONNECT_TIMEOUT_S),
            "trust_env": not is_loopback(self.url),
        }


def address(url: str, api_key: str | None, timeout_s: float) -> Address:
    """Raises InvalidArgument for an address or a key that can't be used."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidArgument(f"{url!r} is not the address of a server; it looks like http://127.0.0.1:5000")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
        raise InvalidArgument("an API key holds printable ASCII characters only")
    return Address(url.rstrip("/"), api_key, timeout_s)


def is_loopback(url: str) -> bool:
    """Whether the address is this machine: no proxy of the environment stands before it."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def request_options(call: Call) -> dict[str, Any]:
    """The body of a call for httpx."""
    if call.fields is None:
        return {}
    try:
        text = json.dumps(call.fields, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"a value can't be sent as JSON: {error}") from error
    if call.picture is None:
        return {"content": text.encode(), "headers": {"Content-Type": "application/json"}}
    return {"files": {"image": ("picture", call.picture, "application/octet-stream"), "request": (None, text)}}


def streams(call: Call, response: httpx.Response) -> bool:
    """Whether the answer comes as lines of events."""
    kind = response.headers.get("content-type", "")
    return call.events is not None and response.status_code < 400 and kind.startswith("application/x-ndjson")


def reply(response: httpx.Response, body: bytes) -> Reply:
    """The answer, header names in lower case."""
    headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, body)


def connection_failed(url: str, error: Exception) -> ConnectionFailed:
    """What httpx raises for a connection, in one line."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(f"no server at {url}: {error or 'it does not answer'}")
    if isinstance(error, httpx.TimeoutException):
        return ConnectionFailed(f"{url} was silent for longer than the client's timeout")
    return ConnectionFailed(f"the connection to {url} broke off: {error or type(error).__name__}")
