"""Places for requests under way: taken, given back, and fewer of them while far more come than are answered.

A queue that is always full answers no more than a shorter one, and everybody in it waits for all of it. So the whole of
it is there for a burst, and for a pool of clients that fits in; but once more are refused than leave, only half of it
is given out, and whoever is let in is answered in half the time.
"""

import time
from collections.abc import Callable

from deployments.calls.errors import Overloaded

WINDOW_S = 1.0
"""What `Retry-After` asks for: whoever was refused and still wants an answer has come again by then."""

SHORT_QUEUE = 16
"""No bound is made less than this: a batch that runs and one that waits have to be full."""


class Slots:
    """A number of places.

    Counts who is refused and who leaves, second by second; the last whole one says how many places are given out. While
    nobody leaves, because long requests have every place, refusals say nothing of the queue, and all are.

    Args:
        bound: how many there are; None for no bound.
        clock: seconds.
    """

    def __init__(self, bound: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.bound = bound
        self.taken = 0
        self._clock = clock
        self._since = clock()
        self._refused = 0
        self._left = 0
        self._is_crowded = False

    def refusal(self) -> Overloaded | None:
        """Why there is no place to take, if so. Counts as one refused."""
        if self.bound is None:
            return None
        given_out = self._given_out(self.bound)
        if self.taken < given_out:
            return None
        self._refused += 1
        return Overloaded(f"{given_out} requests are under way already; try again")

    def take(self) -> None:
        """Takes a place, whether or not there is one."""
        self.taken += 1

    def leave(self) -> None:
        """Gives a place back."""
        self.taken -= 1
        self._left += 1

    def _given_out(self, bound: int) -> int:
        now = self._clock()
        if now - self._since >= WINDOW_S:
            self._is_crowded = now - self._since < 2 * WINDOW_S and self._refused > self._left > 0
            self._since, self._refused, self._left = now, 0, 0
        return min(bound, max(SHORT_QUEUE, bound // 2)) if self._is_crowded else bound
