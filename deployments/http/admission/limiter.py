"""Bounds on requests that are under way: one on requests that a person waits for, one on runs of automatic masks.

Runs take minutes. With a bound of their own, no number of runs refuses a click.

A queue that is always full answers no more than a shorter one, and everybody in it waits for all of it. So the whole
bound is there for a burst, and for a pool of clients that fits in; but once more requests are refused than leave, only
half of the slots are given out, and whoever is let in is answered in half the time.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deployments.calls.errors import NotReady, Overloaded
from deployments.http.auth import ANYBODY, Caller

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


class Place:
    """The slot of one request, taken.

    Args:
        slots: of which it is one.
        runs: the slots of runs of automatic masks.
    """

    def __init__(self, slots: Slots, runs: Slots) -> None:
        self._slots = slots
        self._runs = runs
        slots.take()

    def become_run(self) -> None:
        """Changes the slot for one of a run: the body says what the path does not.

        Raises:
            Overloaded: no slot of a run is free.
        """
        if self._slots is self._runs:
            return
        if refusal := self._runs.refusal():
            raise refusal
        self._runs.take()
        self._slots.leave()
        self._slots = self._runs

    def leave(self) -> None:
        """Gives the slot back."""
        self._slots.leave()


class Admission:
    """The bounds of one ingress replica. A request that finds no slot is turned away before its body is read.

    Args:
        slots: of requests that a person waits for; see `Slots`.
        run_slots: of runs of automatic masks, those that wait for others included.
        slots_per_key: for each API key, of both kinds together; 0 sets no bound of its own.
    """

    def __init__(self, slots: int, run_slots: int, slots_per_key: int = 0) -> None:
        self.slots = slots
        self.run_slots = run_slots
        self.slots_per_key = slots_per_key
        self._interactive = Slots(slots)
        self._runs = Slots(run_slots)
        self._taken_by: Counter[Caller] = Counter()
        self._closed = False

    @property
    def taken(self) -> int:
        """Requests of both kinds under way."""
        return self._interactive.taken + self._runs.taken

    @property
    def runs(self) -> int:
        """Runs of automatic masks under way."""
        return self._runs.taken

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
    def place(self, caller: Caller = ANYBODY, *, is_run: bool = False) -> Iterator["Place"]:
        """Takes a slot for the length of the block.

        Args:
            is_run: of the runs of automatic masks.

        Raises:
            NotReady: nobody is let in any more.
            Overloaded: none is free, or the caller's key has all of its own.
        """
        self.check_open()
        slots = self._runs if is_run else self._interactive
        if refusal := slots.refusal():
            raise refusal
        with self.place_of_key(caller):
            place = Place(slots, self._runs)
            try:
                yield place
            finally:
                place.leave()

    @contextmanager
    def place_of_key(self, caller: Caller) -> Iterator[None]:
        """Takes one of the slots of the caller's key for the length of the block, and none of everybody's.

        Raises:
            Overloaded: the caller's key has all of its own.
        """
        if caller != ANYBODY and 0 < self.slots_per_key <= self._taken_by[caller]:
            raise Overloaded(f"{self.slots_per_key} requests of this API key are under way already; try again")
        self._taken_by[caller] += 1
        try:
            yield
        finally:
            self._taken_by[caller] -= 1
