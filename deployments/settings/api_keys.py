"""API keys as the server holds them: a name and a digest each. Knows no HTTP.

The keys themselves are let go of once they are parsed, so that nothing that is logged, pickled or shown can hold one.
"""

import hashlib
import re
from dataclasses import dataclass, field

MIN_KEY_LENGTH = 16
_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{MIN_KEY_LENGTH - 1}}}")
"""Shorter than any key, so that a pair the wrong way round is refused and not shown as a name."""
_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What fits into an `Authorization: Bearer` header: RFC 6750, section 2.1."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key.

    name: may be shown; `str()` of the key is its name.
    digest: SHA-256 of the key.
    """

    name: str
    digest: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        """Tells keys apart without being one, or the digest that one is compared with."""
        return hashlib.sha256(b"identity" + self.digest).hexdigest()


def digest_of(key: bytes) -> bytes:
    """SHA-256: keys are long random strings, which need no slow hash."""
    return hashlib.sha256(key).digest()


def parse_api_keys(text: str) -> tuple[ApiKey, ...]:
    """`name:key`, comma separated.

    Raises:
        ValueError: says which entry is wrong by its number, and never prints any of it.
    """
    keys: dict[bytes, ApiKey] = {}
    names: set[str] = set()
    for number, entry in enumerate(text.split(","), 1):
        name, colon, key = entry.strip().partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise ValueError(
                f"entry {number} must be name:key, with a name of at most {MIN_KEY_LENGTH - 1} letters, digits, "
                "dots, dashes and underscores"
            )
        if len(key) < MIN_KEY_LENGTH:
            raise ValueError(f"the key of entry {number} is shorter than {MIN_KEY_LENGTH} characters")
        if not _KEY.fullmatch(key):
            raise ValueError(f"the key of entry {number} may hold letters, digits and -._~+/ only, and = at its end")
        digest = digest_of(key.encode("ascii"))
        if digest in keys:
            raise ValueError(f"the key of entry {number} is there twice")
        if name in names:
            raise ValueError(f"the name of entry {number} is there twice")
        names.add(name)
        keys[digest] = ApiKey(name, digest)
    return tuple(keys.values())
