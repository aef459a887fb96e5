"""The threads that share a decoder's work, the caller among them."""

import weakref
from collections.abc import Callable, Sequence
from itertools import count
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TypeVar, cast

T = TypeVar("T")
R = TypeVar("R")

_Calls = SimpleQueue[Callable[[], None] | None]


class Workers:
    """`threads` threads, of which the caller is one: waking another takes as long as some of the items do.

    May be used from several threads, and by the functions that it runs: a caller that finds all others busy does
    everything itself. Without `concurrent.futures`, whose bookkeeping takes longer than some of the items, too.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._calls: _Calls = SimpleQueue()
        others = [
            Thread(target=_serve, args=(self._calls,), name=f"sam-worker-{number}", daemon=True)
            for number in range(1, threads)
        ]
        for other in others:
            other.start()
        weakref.finalize(self, _dismiss, self._calls, len(others))

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """`[function(item) for item in items]`, begun in this order.

        Raises:
            Exception: the function's; of several, one. Items that have not begun then never are.
        """
        if self.threads < 2 or len(items) < 2:
            return [function(item) for item in items]
        results: list[R | None] = [None] * len(items)
        errors: list[BaseException] = []
        places, ended, all_ended = count(), count(1), Lock()
        all_ended.acquire()

        def work() -> None:
            # One `next` is one step of the interpreter: no two threads get the same place.
            while (place := next(places)) < len(items):
                try:
                    if not errors:
                        results[place] = function(items[place])
                except BaseException as error:
                    errors.append(error)
                if next(ended) == len(items):
                    all_ended.release()

        for _ in range(min(self.threads, len(items)) - 1):
            self._calls.put(work)
        work()
        # Others that wake up only now find nothing to do, and nobody waits for them.
        all_ended.acquire()
        if errors:
            raise errors[0]
        return cast("list[R]", results)


def _serve(calls: _Calls) -> None:
    while call := calls.get():
        call()
        del call  # not what it works on, while there is nothing to do


def _dismiss(calls: _Calls, threads: int) -> None:
    for _ in range(threads):
        calls.put(None)
