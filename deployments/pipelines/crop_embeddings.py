"""One picture of a run of automatic masks, and the embeddings of its crops, each started only once. Knows no HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deployments.calls.messages import EncodedImage, PictureFile
from deployments.calls.remote import Call, RemoteDeployment, result, retry_on_replica_loss
from deployments.pipelines.pictures import ImageSource, PictureDecoder, crop_key, size_of
from segmentation.automatic.grid import Crop
from segmentation.errors import UnknownImage
from segmentation.types import Size


class OpenPicture:
    """The picture of one run. It is read only when something of it is not held by the encoder.

    decode_s: seconds spent on reading it so far.
    """

    def __init__(self, source: ImageSource, encoder: RemoteDeployment, picture_decoder: PictureDecoder) -> None:
        self._source = source
        self._encoder = encoder
        self._picture_decoder = picture_decoder
        self._file = source.file
        self._pixels: NDArray[np.uint8] | None = None
        self._reading = asyncio.Lock()
        self.decode_s = 0.0

    async def size(self) -> Size:
        """(height, width).

        Raises:
            UnknownImage: the picture came by an id that is not held.
        """
        try:
            return (await self._find(self._source.image_id)).size
        except UnknownImage:
            if self._file is None:
                raise
        return size_of(await self._read())

    async def embed(self, crop: Crop, size: Size, *, surely_gone: bool) -> Call[Any]:
        """Starts a call for the crop's embedding: a held one, or else a new one.

        Args:
            size: of the whole picture.
            surely_gone: a held one was tried, and was lost.
        """
        whole = crop.size == size
        key = self._source.image_id if whole else crop_key(self._source.image_id, crop.box)
        if not surely_gone and await self._holds(key):
            return self._encoder.call("fetch", key, key=key)
        pixels = await self._read()
        picture = await self._picture_decoder.crop(pixels, crop.box, self._file if whole else None)
        return self._encoder.call("encode", key, picture, key=key)

    async def _holds(self, key: str) -> bool:
        if self._pixels is not None and key == self._source.image_id:
            return False  # it was read because it is not held
        try:
            await self._find(key)
        except UnknownImage:
            return False
        return True

    async def _find(self, key: str) -> EncodedImage:
        async def find() -> EncodedImage:
            return await result(self._encoder.call("find", key, key=key))

        return await retry_on_replica_loss(find)

    async def _read(self) -> NDArray[np.uint8]:
        async with self._reading:
            if self._pixels is None:
                if self._file is None:
                    self._file = await retry_on_replica_loss(self._held_file)
                self._pixels, self.decode_s = await self._picture_decoder.develop(self._file)
            return self._pixels

    async def _held_file(self) -> PictureFile:
        image_id = self._source.image_id
        file: PictureFile = await result(self._encoder.call("file", image_id, key=image_id))
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
