"""Pictures that a request names by URL: fetched from the origins that the operator listed, and from nowhere else.

A name is resolved once, and the connection goes to the address that was looked at: an answer that changes in between
reaches nothing. Names lead to public addresses only; whoever wants pictures from their own network lists the address
itself, as `http://10.0.0.5:9000`. Redirects are not followed, and proxies of the environment play no part.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import h11

from deployments.calls.errors import BodyTooLarge, DeadlineExceeded, Forbidden
from deployments.http.admission.byte_budget import ByteShare
from segmentation.errors import InvalidImage, InvalidRequest

TIMEOUT_S = 30.0
READ_BYTES = 65_536
SMALL_READ_BYTES = 4096
PAUSE_S = 0.01
"""After a small read, so that a server that sends single bytes costs a hundred turns of the event loop a second."""
EVENTS_AT_ONCE = 200
"""Chunks of a body that are handled before others on the event loop have a turn."""
MAX_INTERIM = 8
"""Interim answers (100 Continue, 103 Early Hints) before the picture."""
FRAMING_BYTES = 65_536
"""Bytes that are not the picture's, beyond as many as the picture's: headers, and what frames chunks."""
MAX_URL = 2048
ACCEPTED = "image/*, */*;q=0.8"
"""Label Studio answers 406 where only `image/*` is accepted."""
POINTER = "/image_url"
_URL = re.compile(rf"https?://[!-~]{{1,{MAX_URL - 8}}}", re.IGNORECASE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host name and a port; raises OSError."""


class _Wasteful(Exception):
    """A server sends much that is no picture."""


class PictureFetch:
    """Fetches one picture a call.

    Args:
        origins: `https://host`, with a port if it is not the scheme's own; none refuses every URL.
        max_bytes: the largest picture.
        timeout_s: seconds for one picture, from the name's look-up to its last byte.
        resolve: looks names up; the system's resolver by default.
    """

    def __init__(
        self, origins: Sequence[str], *, max_bytes: int, timeout_s: float = TIMEOUT_S, resolve: Resolve | None = None
    ) -> None:
        self._origins = frozenset(origins)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._resolve = resolve or _look_up
        secure = any(origin.startswith("https:") for origin in origins)
        self._tls = ssl.create_default_context() if secure else None

    async def fetch(self, url: str, share: ByteShare, authorization: str | None = None) -> bytes:
        """The bytes at the URL, whatever they are.

        Args:
            share: of the bytes for all bodies; these are taken from it as they come.
            authorization: the header's value, if that server wants one.

        Raises:
            Forbidden: the origin is not listed, or its name leads into a private network.
            InvalidRequest: it is no URL that could be fetched.
            InvalidImage: its server can't be reached, or has no picture there.
            BodyTooLarge, Overloaded, DeadlineExceeded: more than may come, or too late.
        """
        parts, origin = self._listed(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._get(parts, origin, share, authorization)
        except TimeoutError:
            raise DeadlineExceeded(f"{origin} did not deliver the picture within {self._timeout_s:g} s") from None
        except (h11.RemoteProtocolError, _Wasteful):
            raise InvalidImage(f"{origin} broke off, or does not speak HTTP") from None
        except OSError:  # TLS errors are of its kind too; what they say would describe the network behind the server
            raise InvalidImage(f"{origin} can't be reached") from None

    def _listed(self, url: str) -> tuple[SplitResult, str]:
        if not _URL.fullmatch(url):
            raise InvalidRequest(
                f"image_url is http:// or https:// and ASCII, of at most {MAX_URL} characters", POINTER
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise InvalidRequest("image_url is no URL", POINTER) from None
        if parts.username is not None or parts.password is not None:
            raise InvalidRequest("image_url holds a user or a password; neither is sent", POINTER)
        host = parts.hostname or ""
        bracketed = f"[{host}]" if ":" in host else host
        own = 443 if parts.scheme == "https" else 80
        origin = f"{parts.scheme}://{bracketed}" + ("" if port in {None, own} else f":{port}")
        if not self._origins:
            raise Forbidden("this server fetches no pictures by URL; send the file in image, or in a form")
        if origin not in self._origins:
            raise Forbidden("this server fetches no pictures from that host; send the file in image, or in a form")
        return parts, origin

    async def _get(self, parts: SplitResult, origin: str, share: ByteShare, authorization: str | None) -> bytes:
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = await self._address(host, port)
        tls = self._tls if parts.scheme == "https" else None
        reader, writer = await asyncio.open_connection(
            address, port, ssl=tls, server_hostname=host if tls is not None else None
        )
        try:
            connection = h11.Connection(h11.CLIENT)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = [
                ("Host", origin.partition("://")[2]),
                ("User-Agent", "sam-serve"),
                ("Accept", ACCEPTED),
                ("Connection", "close"),
            ]
            if authorization is not None:
                headers.append(("Authorization", authorization))
            request = h11.Request(method="GET", target=target, headers=headers)
            writer.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
            return await self._body(connection, reader, share)
        finally:
            writer.transport.abort()  # nothing more is wanted from it, a TLS farewell included

    async def _body(self, connection: h11.Connection, reader: asyncio.StreamReader, share: ByteShare) -> bytes:
        pieces: list[bytes] = []
        size = received = interim = events = 0
        while True:
            event = connection.next_event()
            events += 1
            if events % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if event is h11.NEED_DATA:
                data = await reader.read(READ_BYTES)
                if len(data) < SMALL_READ_BYTES:
                    await asyncio.sleep(PAUSE_S)
                received += len(data)
                if received > 2 * size + FRAMING_BYTES + READ_BYTES:
                    raise _Wasteful
                connection.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                interim += 1
                if interim > MAX_INTERIM:
                    raise _Wasteful
            elif isinstance(event, h11.Response):
                self._require_picture(event, share)
            elif isinstance(event, h11.Data):
                size += len(event.data)
                self._require_size(size)
                share.take(len(event.data))
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(pieces)

    def _require_picture(self, response: h11.Response, share: ByteShare) -> None:
        if 300 <= response.status_code < 400:
            raise InvalidImage("image_url redirects, which is not followed; name the picture's own address")
        if response.status_code != 200:
            raise InvalidImage(f"image_url is answered {response.status_code}")
        for name, value in response.headers:
            if name == b"content-length":
                self._require_size(int(value))
                share.require(int(value))

    def _require_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise BodyTooLarge(f"a picture has at most {self._max_bytes / 1e6:g} MB")

    async def _address(self, host: str, port: int) -> str:
        """The address to connect to: the one that was listed, or a name's."""
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            addresses = await self._resolve(host, port)
        if not addresses or not all(map(is_public, addresses)):
            raise Forbidden("this server fetches no pictures from private networks by name")
        return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address is somebody's on the internet: none of this machine, of a local network, or of many."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.sixtofour or ip.teredo or ip in _NAT64):
        return False  # these carry an IPv4 address, which may be a private one
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
