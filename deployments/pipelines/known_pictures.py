"""The pictures that this ingress replica knows to be encoded: their ids alone, no data."""

from collections import OrderedDict

CAPACITY = 10_000


class KnownPictures:
    """The ids used last. A known picture is asked for by its id; one that is not is sent to the encoder at once.

    Only a guess that saves a call: an id may have been evicted since, and one that is not known may be kept.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._ids

    def add(self, image_id: str) -> None:
        """Remembers the id, in the place of the least recently used one where there are too many."""
        self._ids[image_id] = None
        self._ids.move_to_end(image_id)
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)

    def discard(self, image_id: str) -> None:
        """Forgets the id."""
        self._ids.pop(image_id, None)
