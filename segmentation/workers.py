"""The threads that share a decoder's work, the caller among them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """`threads` threads, of which the caller is one: waking another takes as long as some of the items do.

    May be used from several threads, and by the functions that it runs: a caller that finds all others busy does
    everything itself.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="sam-worker") if threads > 1 else None

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`[function(item) for item in items]`, begun in this order.

        Raises:
            Exception: the function's; of several, one. Items that have not begun then may never be.
        """
        if self._pool is None or len(items) < 2:
            return [function(item) for item in items]
        results: list[R | None] = [None] * len(items)
        places = count()

        def work() -> None:
            # One `next` is one step of the interpreter: no two threads get the same place.
            while (place := next(places)) < len(items):
                results[place] = function(items[place])

        others = [self._pool.submit(work) for _ in range(min(self.threads, len(items)) - 1)]
        try:
            work()
        finally:
            # Those that have not woken up by now find nothing to do.
            begun = [other for other in others if not other.cancel()]
            errors = [error for error in (other.exception() for other in begun) if error]
        if errors:
            raise errors[0]
        return cast("list[R]", results)
