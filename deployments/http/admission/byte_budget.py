"""A bound on the bytes of all bodies under way together: many large ones would fill the memory. Knows no HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.calls.errors import Overloaded


class ByteBudget:
    """A number of bytes that requests share."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.taken = 0

    @contextmanager
    def share(self) -> "Iterator[ByteShare]":
        """One request's part, which grows as its body comes in and is given back at the end of the block."""
        share = ByteShare(self)
        try:
            yield share
        finally:
            self.taken -= share.taken


class ByteShare:
    """What one request holds of a budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.taken = 0

    def require(self, size: int) -> None:
        """Nothing is taken yet.

        Raises:
            Overloaded: as many bytes are not free.
        """
        if self._budget.taken + size > self._budget.max_bytes:
            raise Overloaded(f"bodies of {self._budget.max_bytes / 1e6:g} MB are under way already; try again")

    def take(self, size: int) -> None:
        """Holds more bytes.

        Raises:
            Overloaded: they are not free.
        """
        self.require(size)
        self.taken += size
        self._budget.taken += size
