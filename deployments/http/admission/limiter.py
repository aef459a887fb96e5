"""Who may come in: bounds on requests that are under way, so that waiting never grows without end."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from deployments.calls.errors import NotReady, Overloaded
from deployments.http.admission.slots import Slots
from deployments.http.auth import ANYBODY, Caller


class Admission:
    """A number of places. A request that finds none is turned away before its body is read.

    Args:
        places: for everybody together; see `Slots`.
        places_per_key: for each API key; 0 sets no bound of its own.
    """

    def __init__(self, slots: int, places_per_key: int = 0) -> None:
        self.slots = slots
        self.places_per_key = places_per_key
        self._slots = Slots(slots)
        self._taken_by: Counter[Caller] = Counter()
        self._closed = False

    @property
    def taken(self) -> int:
        return self._slots.taken

    def close(self) -> None:
        """Lets nobody in from now on; who is inside stays."""
        self._closed = True

    def check_open(self) -> None:
        """Returns if it lets anybody in at all.

        Raises:
            NotReady: it was closed.
        """
        if self._closed:
            raise NotReady("the server is about to stop")

    @contextmanager
    def place(self, caller: Caller = ANYBODY) -> Iterator[None]:
        """Takes a place for the length of the block.

        Raises:
            NotReady: nobody is let in any more.
            Overloaded: none is free, or the caller's key has all of its own.
        """
        self.check_open()
        if refusal := self._slots.refusal():
            raise refusal
        with self.place_of_key(caller):
            self._slots.take()
            try:
                yield
            finally:
                self._slots.leave()

    @contextmanager
    def place_of_key(self, caller: Caller) -> Iterator[None]:
        """Takes one of the places of the caller's key for the length of the block, and none of everybody's.

        Raises:
            Overloaded: the caller's key has all of its own.
        """
        if caller != ANYBODY and 0 < self.places_per_key <= self._taken_by[caller]:
            raise Overloaded(f"{self.places_per_key} requests of this API key are under way already; try again")
        self._taken_by[caller] += 1
        try:
            yield
        finally:
            self._taken_by[caller] -= 1
