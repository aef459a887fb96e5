"""`AsyncSamClient` and `AsyncPicture`: the same as `sync_client` for asyncio."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray

from client import calls
from client.analysis import AnalysisResult
from client.errors import ConnectionFailed, InvalidArgument, SamError
from client.exchange import Call, Flow, Progress, Reply, SentPicture, Wait
from client.files import PictureSource, picture_bytes
from client.masks import Mask, MaskInput, Prompt
from client.retries import RetryPolicy
from client.storage import json_bytes, write_whole
from client.transport import DEFAULT_TIMEOUT_S, address, connection_failed, reply, request_options, streams

T = TypeVar("T")


class AsyncSamClient:
    """A server at an address; arguments and errors as `SamClient`.

    async with AsyncSamClient("http://127.0.0.1:5000") as client:
        pictures = [client.picture(path) for path in paths]
        found = await asyncio.gather(*(picture.everything() for picture in pictures))
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:5000",
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        *,
        retries: RetryPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = address(url, api_key, timeout)
        self._policy = retries or RetryPolicy()
        self._http = httpx.AsyncClient(**self._address.options(), transport=transport)

    async def __aenter__(self) -> "AsyncSamClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections; the client can't be used after that."""
        await self._http.aclose()

    def picture(
        self, source: PictureSource, *, model: str | None = None, decode: Mapping[str, Any] | None = None
    ) -> "AsyncPicture":
        """A picture to ask about; arguments as `SamClient.picture`. Reads the file, sends nothing."""
        return AsyncPicture(self, calls.sent_picture(picture_bytes(source), model, decode))

    async def backend_info(self) -> dict[str, Any]:
        """What the server runs."""
        return await self._run(calls.get("/backend_info", self._policy))

    async def models(self) -> list[dict[str, Any]]:
        """The models that the server offers."""
        models: list[dict[str, Any]] = (await self._run(calls.get("/models", self._policy)))["models"]
        return models

    async def presets(self) -> dict[str, Any]:
        """The named sets of rules of `/analyze`, resolved."""
        return await self._run(calls.get("/analyze/presets", self._policy))

    async def is_ready(self) -> bool:
        """Whether the server answers requests now. Asks once."""
        try:
            await self._run(calls.get("/health", RetryPolicy(attempts=0)))
        except SamError:
            return False
        return True

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                outcome: Reply | SamError | None = None
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                else:
                    outcome = await self._send(step)
                step = flow.send(outcome)
        except StopIteration as stop:
            value: T = stop.value
            return value

    async def _send(self, call: Call) -> Reply | ConnectionFailed:
        try:
            async with self._http.stream(call.method, call.path, **request_options(call)) as response:
                if call.events is not None and streams(call, response):
                    async for line in response.aiter_lines():
                        call.events.feed(line)
                    return reply(response, b"")
                return reply(response, await response.aread())
        except httpx.TransportError as error:
            return connection_failed(self._address.url, error)
        except httpx.InvalidURL as error:
            raise InvalidArgument(str(error)) from error


class AsyncPicture:
    """One picture on one server; as `Picture`, with methods to be awaited."""

    def __init__(self, client: AsyncSamClient, state: SentPicture) -> None:
        self._client = client
        self._state = state
        self._first = asyncio.Lock()

    async def size(self) -> tuple[int, int]:
        """(height, width) in pixels of the upright picture; sends the picture if nothing was asked yet."""
        if self._state.size is None:
            await self.prepare()
        assert self._state.size is not None
        return self._state.size

    @property
    def image_id(self) -> str:
        """The server's id of the picture; empty before the first question."""
        return self._state.image_id

    async def prepare(self) -> "AsyncPicture":
        """Sends and encodes the picture now, so that the first question is answered at once."""
        await self._run(calls.prepare(self._state, self._client._policy))
        return self

    async def segment(
        self,
        points: Sequence[Sequence[float]] | NDArray[Any] | None = None,
        labels: Sequence[int] | NDArray[Any] | None = None,
        box: Sequence[float] | NDArray[Any] | None = None,
        mask_input: MaskInput | None = None,
        *,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> list[Mask]:
        """The masks of one prompt, the best predicted IoU first; arguments as `Picture.segment`."""
        prompt = Prompt(points, labels, box, mask_input)
        results = await self.segment_many([prompt], multimask_output=multimask_output, return_logits=return_logits)
        return results[0]

    async def segment_many(
        self, prompts: Sequence[Prompt], *, multimask_output: bool = True, return_logits: bool = False
    ) -> list[list[Mask]]:
        """The masks of several prompts in one request."""
        flow = calls.segment(self._state, prompts, multimask_output, return_logits, self._client._policy)
        return await self._run(flow)

    async def everything(self, progress: Progress | None = None, **parameters: Any) -> list[Mask]:
        """All masks of the picture, in SAM's order; arguments as `Picture.everything`."""
        return await self._run(calls.everything(self._state, parameters, progress, self._client._policy))

    async def analyze(self, progress: Progress | None = None, **rules: Any) -> "AsyncAnalysis":
        """Objects, groups and measurements; arguments as `Picture.analyze`."""
        document = await self._run(calls.analyze(self._state, rules, progress, self._client._policy))
        return AsyncAnalysis.from_json(document, picture=self, request=rules)

    async def export(self, path: "str | Path", file_format: str | None = None, **rules: Any) -> Path:
        """Analyzes and writes the file that the server makes of it; as `Picture.export`."""
        path = Path(path)
        flow = calls.export(self._state, calls.format_of(path, file_format), rules, self._client._policy)
        await asyncio.to_thread(write_whole, path, await self._run(flow))
        return path

    async def embedding(self) -> NDArray[np.float32]:
        """The image embedding, float32 [1, C, h, w]."""
        return await self._run(calls.embedding(self._state, self._client._policy))

    async def _run(self, flow: Flow[T]) -> T:
        # The first request carries the file; others that come meanwhile wait for its id.
        async with self._first:
            if not self._state.image_id:
                return await self._client._run(flow)
        return await self._client._run(flow)


@dataclass(frozen=True)
class AsyncAnalysis(AnalysisResult):
    """What `/analyze` found in a picture; as `Analysis`, with a `save` to be awaited."""

    picture: AsyncPicture = field(repr=False, compare=False)
    request: Mapping[str, Any] = field(repr=False, compare=False)

    async def save(self, path: "str | Path", file_format: str | None = None) -> Path:
        """Writes the analysis, whole or not at all; as `Analysis.save`."""
        path = Path(path)
        if calls.format_of(path, file_format) == "json":
            await asyncio.to_thread(write_whole, path, json_bytes(self.document))
            return path
        return await self.picture.export(path, file_format, **self.request)
