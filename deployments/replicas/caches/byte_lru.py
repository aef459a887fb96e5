"""Least recently used first out, bounded in bytes: how every cache of the server forgets. Knows neither Ray nor SAM."""

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Weighty(Protocol):
    """What can be held."""

    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=Weighty)


class ByteLru(Generic[V]):
    """Values by key. Belongs to one thread.

    nbytes: of all that is held.
    evictions: values that made room for others, so far.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, V] = OrderedDict()
        self.nbytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    @max_bytes.setter
    def max_bytes(self, value: int) -> None:
        self._max_bytes = value
        self._evict()

    def get(self, key: str) -> V | None:
        """The value held under the key, which becomes the most recently used; None if there is none."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key]

    def put(self, key: str, value: V) -> None:
        """Holds the value, in place of one under the same key. One that is larger than the bound is not held."""
        if (old := self._held.pop(key, None)) is not None:
            self.nbytes -= old.nbytes
        if value.nbytes > self._max_bytes:
            return
        self._held[key] = value
        self.nbytes += value.nbytes
        self._evict()

    def _evict(self) -> None:
        while self.nbytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self.nbytes -= oldest.nbytes
            self.evictions += 1
