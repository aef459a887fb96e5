"""Opens addresses for downloads: https, or http on the loopback interface, and redirects obey the same rule.

Follows the proxy settings of the environment, as every tool does, except on the loopback interface.
"""

import http
import http.client
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(Exception):
    """The file can't be had; the message is the reason."""


class Interrupted(Exception):
    """This attempt failed; the next may not."""


class RangeRefused(Interrupted):
    """The server's file does not have the range that was asked for."""


def open_url(url: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
    """The response to a GET, its body unread; close it.

    Raises:
        DownloadError: the url is refused, or the server says no for good.
        Interrupted: no answer, or an answer that may differ in a moment.
    """
    _require_safe(url)
    request = urllib.request.Request(url, headers={"User-Agent": "sam-serve", **headers})
    try:
        response: http.client.HTTPResponse = _opener(url).open(request, timeout=timeout_s)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise RangeRefused(f"the server answered {error.code}") from error
        if error.code in TRANSIENT:
            raise Interrupted(f"the server answered {error.code}") from error
        raise DownloadError(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"no answer from the server ({getattr(error, 'reason', None) or error})") from error


def read_some(response: http.client.HTTPResponse, size: int) -> bytes:
    """What has arrived of the body, at most `size` bytes; nothing at its end.

    Raises:
        Interrupted: the connection broke or fell silent.
    """
    try:
        return response.read1(size)
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"the connection broke ({error})") from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _require_safe(newurl)
        except DownloadError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_SafeRedirects()]
    if _is_loopback(urlsplit(url).hostname):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise DownloadError(f"{url} is not an https address")


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
