"""The picture of a run of automatic masks, and the embeddings of its crops, each started only once. Knows no HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.calls.messages import ImageRecord, PictureFile
from deployments.calls.remote import Call, RemoteDeployment, result, retry_on_replica_loss
from deployments.pipelines.known_pictures import KnownPictures
from deployments.pipelines.pictures import ImageSource, PictureDecoder, crop_key, size_of
from segmentation.automatic.grid import Crop
from segmentation.errors import UnknownImage
from segmentation.pictures.options import AppliedDecode
from segmentation.types import Size


class RunPicture:
    """The picture of one run. Its file is decoded only when the encoder needs pixels.

    decode_s: seconds spent on decoding so far.
    decode: how the picture is read, once `size` is known.
    """

    def __init__(
        self, source: ImageSource, encoder: RemoteDeployment, picture_decoder: PictureDecoder, known: KnownPictures
    ) -> None:
        self._image_id = source.image_id
        self._encoder = encoder
        self._picture_decoder = picture_decoder
        self._known = known
        self._file = source.file
        self._pixels: NDArray[np.uint8] | None = None
        self._decoding = asyncio.Lock()
        self._is_encoded = False
        self._searched = False
        self.decode_s = 0.0
        self.decode = AppliedDecode()

    async def size(self) -> Size:
        """(height, width).

        Raises:
            UnknownImage: the picture came by an id without an embedding.
        """
        if self._file is None or self._image_id in self._known:
            try:
                record = await retry_on_replica_loss(self._look_up)
            except UnknownImage:
                self._known.discard(self._image_id)
                if self._file is None:
                    raise
                self._searched = True
            else:
                self._is_encoded = True
                self.decode = record.decode
                return record.size
        return size_of(await self._decoded())

    def release(self) -> None:
        """Lets go of the decoded pixels: a run that waits holds none."""
        self._pixels = None

    async def embed(self, crop: Crop, size: Size, *, surely_gone: bool) -> Call[Any]:
        """Starts the call for the crop's embedding: the encoder looks it up, or encodes the pixels that come with it.

        Args:
            size: of the whole picture.
            surely_gone: an earlier call was lost, or the embedding was evicted since.
        """
        whole = crop.size == size
        key = self._image_id if whole else crop_key(self._image_id, crop.box)
        if whole and self._is_encoded and not surely_gone:
            return self._encoder.call("embed", key, key=key)
        pixels = await self._decoded()
        picture = await self._picture_decoder.crop(pixels, crop.box, self._file if whole else None)
        if whole:
            self._known.add(key)
        searched = whole and self._searched
        return self._encoder.call(
            "embed", key, replace(picture, is_urgent=False, decode=self.decode), searched, key=key
        )

    async def _look_up(self) -> ImageRecord:
        return await result(self._encoder.call("record", self._image_id, key=self._image_id))

    async def _decoded(self) -> NDArray[np.uint8]:
        async with self._decoding:
            if self._pixels is None:
                if self._file is None:
                    self._file = await retry_on_replica_loss(self._cached_file)
                self._pixels, self.decode, seconds = await self._picture_decoder.decode(self._file)
                self.decode_s += seconds
            return self._pixels

    async def _cached_file(self) -> PictureFile:
        file: PictureFile = await result(self._encoder.call("file", self._image_id, key=self._image_id))
        return file


class CropEmbedding:
    """One crop's embedding as the shards of its grid share it: by reference, started by the first that needs it."""

    def __init__(self, start: Callable[[bool], Awaitable[Call[Any]]]) -> None:
        self._start = start
        self._call: Call[Any] | None = None
        self._starts = 0
        self._starting = asyncio.Lock()
        self._counted = False

    async def get(self) -> Call[Any]:
        """The call whose result is the embedding."""
        async with self._starting:
            if self._call is None:
                self._call = await self._start(self._starts > 0)
                self._starts += 1
            return self._call

    def discard(self, call: Call[Any]) -> None:
        """The next `get` starts anew, unless another shard saw to that already."""
        if self._call is call:
            self._call = None

    def cancel(self) -> None:
        """Nobody needs it any more."""
        if self._call is not None:
            self._call.cancel()

    def count_once(self) -> bool:
        """True for the first caller: what the embedding cost is counted once, not per shard."""
        counted, self._counted = self._counted, True
        return not counted
