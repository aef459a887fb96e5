"""Who may come in: a bound on requests that are under way, so that waiting never grows without end."""

from collections.abc import Iterator
from contextlib import contextmanager

from deployments.errors import Overloaded


class Admission:
    """A number of places. A request that finds none is turned away before its body is read."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Takes a place for the length of the block.

        Raises:
            Overloaded: none is free.
        """
        if self.taken >= self.places:
            raise Overloaded(f"{self.places} requests are under way already; try again")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
