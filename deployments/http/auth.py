"""Who sends a request, by its API key. Knows no routes, and no key: only digests of them."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.calls.errors import Unauthorized
from deployments.settings.api_keys import ApiKey, digest_of


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    identity: of the API key, without being one; empty where none is needed.
    name: of the API key, for logs.
    """

    identity: str = ""
    name: str = ""


ANYBODY = Caller()


class ApiKeys:
    """The keys that open the server; an empty one lets everybody in."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._callers = [(key.digest, Caller(key.identity, key.name)) for key in keys]

    def caller(self, key: str | None) -> Caller:
        """The sender of a request with this key; None if it has none.

        Raises:
            Unauthorized: a key is needed, and there is none or a wrong one.
        """
        if not self._callers:
            return ANYBODY
        if not key:
            raise Unauthorized("this server needs an API key; send it as Authorization: Bearer KEY")
        given = digest_of(key.encode("utf-8", "surrogatepass"))
        found = None
        for digest, caller in self._callers:  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, given):
                found = caller
        if found is None:
            raise Unauthorized("this server does not know the API key that came with the request")
        return found
