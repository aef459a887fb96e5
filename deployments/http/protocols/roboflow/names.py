"""Clients' own names of pictures: one replica of the ingress remembers which picture each stands for."""

import re
from collections import OrderedDict

from deployments.http.auth import Caller
from deployments.http.protocols.segmenter import Segmenter
from deployments.http.requests import IMAGE_ID
from deployments.pipelines.pictures import ImageSource

MAX_NAMES = 4096


class PictureNames:
    """The names used last, of each caller and model its own."""

    def __init__(self) -> None:
        self._ids: OrderedDict[tuple[Caller, str, str], str] = OrderedDict()

    def add(self, name: str, source: ImageSource, caller: Caller) -> None:
        """Remembers what was sent under a name, in the place of what the name stood for before."""
        key = (caller, source.model, name)
        self._ids[key] = source.image_id
        self._ids.move_to_end(key)
        if len(self._ids) > MAX_NAMES:
            self._ids.popitem(last=False)

    def find(self, name: str, caller: Caller, model: str, segmenter: Segmenter) -> ImageSource:
        """The picture of a name, or of an id that this server gave.

        Raises:
            UnknownImage: it is neither.
        """
        known = self._ids.get((caller, model, name), name)
        return segmenter.picture_by_id(known if re.fullmatch(IMAGE_ID, known) else "-", caller, model)
