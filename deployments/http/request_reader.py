"""From a request's body to what it asks for: its fields, the picture it is about, and the core's values of them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import Request

from deployments.calls.errors import not_held
from deployments.calls.messages import PictureFile
from deployments.http.auth import Caller
from deployments.http.body import Body, image_bytes, read_body
from deployments.http.deadline import Deadline
from deployments.http.json_reader import Document, read_json
from deployments.http.picture_fetch import PictureFetch
from deployments.http.request_values import to_decode_options, to_parameters, to_prompts
from deployments.http.requests import AutomaticRequest, ImageRequest, SegmentRequest, parse
from deployments.http.service import ServiceConfig
from deployments.pipelines.pictures import ImageSource, belongs_to, image_id_of
from segmentation.automatic.generate import AutomaticParameters
from segmentation.errors import InvalidRequest
from segmentation.types import Prompt

T = TypeVar("T")
M = TypeVar("M", bound=ImageRequest)

SMALL_BODY_BYTES = 64_000
"""Bodies up to here are parsed in place: a hop to a thread would cost more."""
READERS = 2
"""Larger bodies that are parsed at once: a document in Python's objects is many times as large as its text."""


class RequestReader:
    """Reads every kind of request that has a body. Errors are those of the contract, for the edge to answer."""

    def __init__(self, config: ServiceConfig) -> None:
        self._settings = config.settings
        self._config = config
        self._max_bytes = int(config.settings.max_body_mb * 1_000_000)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="request-reader")
        read_json(b"[" + b" " * SMALL_BODY_BYTES + b"  " * SMALL_BODY_BYTES + b"]")  # compiles the reader
        self._fetch = PictureFetch(config.settings.image_url_origins, max_bytes=self._max_bytes)

    async def segment(self, request: Request) -> tuple[SegmentRequest, ImageSource, tuple[Prompt, ...]]:
        """What `/segment` is asked."""
        return await self.read(
            SegmentRequest, request, lambda fields: to_prompts(fields, self._settings, self._low_res_side(fields))
        )

    async def automatic(self, request: Request) -> tuple[AutomaticRequest, ImageSource, AutomaticParameters]:
        """What `/segment/auto` is asked."""
        return await self.read(AutomaticRequest, request, lambda fields: to_parameters(fields, self._settings))

    async def picture(self, request: Request) -> ImageSource:
        """The picture, where nothing else is asked."""
        _, source, _ = await self.read(ImageRequest, request, lambda fields: None)
        return source

    async def read(self, model: type[M], request: Request, convert: Callable[[M], T]) -> tuple[M, ImageSource, T]:
        """(the request's fields, the picture that it is about, what `convert` makes of the fields)."""
        caller: Caller = request.state.caller
        # The prompt's deadline also for automatic masks: a slow upload would hold a slot for as long as they take.
        async with Deadline(self._settings.prompt_timeout_s).guard():
            body = await read_body(request, self._max_bytes, request.state.body_share)

            def work() -> tuple[M, ImageSource | None, T]:
                document = read_json(body.json)
                fields = parse(model, document.value, self._settings)
                self._config.model(fields.model)  # before anything is fetched for it
                source, converted = self._source(fields, document, body, caller), convert(fields)
                fields.let_go()
                return fields, source, converted

            fields, source, converted = await self._aside(len(body), work)
            if source is None:
                data = await self._fetch.fetch(fields.image_url or "", request.state.body_share)
                source = await self._aside(len(data), lambda: self._sent(fields, data, caller))
            return fields, source, converted

    async def _aside(self, size: int, work: Callable[[], T]) -> T:
        if size <= SMALL_BODY_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _source(self, fields: ImageRequest, document: Document, body: Body, caller: Caller) -> ImageSource | None:
        """The picture by its id, or as it was sent; None if it is to be fetched."""
        given = sum(value is not None for value in (body.file, fields.image, fields.image_url, fields.image_id))
        if given != 1:
            raise InvalidRequest("send exactly one of image, image_url and image_id", "/image")
        if fields.image_id is not None:
            if fields.decode is not None:
                raise InvalidRequest("decode goes with an image; an image_id stands for a decoded one", "/decode")
            if not belongs_to(fields.image_id, caller.identity):
                raise not_held()
            return ImageSource(fields.image_id, model=self._config.model(fields.model).name)
        if fields.image_url is not None:
            to_decode_options(fields)  # what is wrong with them is said before anything is fetched
            return None
        data = body.file
        if fields.image is not None:
            data = image_bytes(document.long_texts.get(fields.image, fields.image))
        return self._sent(fields, data or b"", caller)

    def _sent(self, fields: ImageRequest, data: bytes, caller: Caller) -> ImageSource:
        file = PictureFile(data, to_decode_options(fields))
        model = self._config.model(fields.model)
        return ImageSource(image_id_of(file, key=caller.identity, model=model.identity), file, model.name)

    def _low_res_side(self, fields: ImageRequest) -> int:
        return self._config.model(fields.model).plan.spec.architecture.low_res_side
