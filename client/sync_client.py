"""`SamClient` and `Picture`: the blocking client. Safe from several threads."""

import threading
import time
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


class SamClient:
    """A server at an address.

        with SamClient("http://127.0.0.1:5000", api_key=os.environ.get("SAM_API_KEY")) as client:
            picture = client.picture("cells.png")
            best = picture.segment(points=[(100, 70)])[0]

    Args:
        url: the server's address, with the path where it is mounted, if any.
        api_key: sent as `Authorization: Bearer`.
        timeout: seconds without a byte from the server after which a request counts as failed.
        retries: what is sent again, and when.
        transport: in the place of the network, for tests.

    Raises:
        InvalidArgument: no address, or a key that no header can hold.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:5000",
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        *,
        retries: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._address = address(url, api_key, timeout)
        self._policy = retries or RetryPolicy()
        self._http = httpx.Client(**self._address.options(), transport=transport)

    def __enter__(self) -> "SamClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the client can't be used after that."""
        self._http.close()

    def picture(
        self, source: PictureSource, *, model: str | None = None, decode: Mapping[str, Any] | None = None
    ) -> "Picture":
        """A picture to ask about. Reads the file; sends it with the first question.

        Args:
            source: a path, bytes, an open file, or an array [H, W] or [H, W, C].
            model: of those that the server offers; None for its default.
            decode: how a picture is read that is more than one 8-bit RGB frame, as docs/api.md has it.
        """
        return Picture(self, calls.sent_picture(picture_bytes(source), model, decode))

    def backend_info(self) -> dict[str, Any]:
        """What the server runs."""
        return self._run(calls.get("/backend_info", self._policy))

    def models(self) -> list[dict[str, Any]]:
        """The models that the server offers."""
        models: list[dict[str, Any]] = self._run(calls.get("/models", self._policy))["models"]
        return models

    def presets(self) -> dict[str, Any]:
        """The named sets of rules of `/analyze`, resolved."""
        return self._run(calls.get("/analyze/presets", self._policy))

    def is_ready(self) -> bool:
        """Whether the server answers requests now. Asks once."""
        try:
            self._run(calls.get("/health", RetryPolicy(attempts=0)))
        except SamError:
            return False
        return True

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                outcome: Reply | SamError | None = None
                if isinstance(step, Wait):
                    time.sleep(step.seconds)
                else:
                    outcome = self._send(step)
                step = flow.send(outcome)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def _send(self, call: Call) -> Reply | ConnectionFailed:
        try:
            with self._http.stream(call.method, call.path, **request_options(call)) as response:
                if call.events is not None and streams(call, response):
                    for line in response.iter_lines():
                        call.events.feed(line)
                    return reply(response, b"")
                return reply(response, response.read())
        except httpx.TransportError as error:
            return connection_failed(self._address.url, error)
        except httpx.InvalidURL as error:
            raise InvalidArgument(str(error)) from error


class Picture:
    """One picture on one server; made by `SamClient.picture`. It is sent once, and again if the server forgets it."""

    def __init__(self, client: SamClient, state: SentPicture) -> None:
        self._client = client
        self._state = state
        self._first = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of the upright picture; sends the picture if nothing was asked yet."""
        if self._state.size is None:
            self.prepare()
        assert self._state.size is not None
        return self._state.size

    @property
    def image_id(self) -> str:
        """The server's id of the picture; empty before the first question."""
        return self._state.image_id

    def prepare(self) -> "Picture":
        """Sends and encodes the picture now, so that the first question is answered at once."""
        self._run(calls.prepare(self._state, self._client._policy))
        return self

    def segment(
        self,
        points: Sequence[Sequence[float]] | NDArray[Any] | None = None,
        labels: Sequence[int] | NDArray[Any] | None = None,
        box: Sequence[float] | NDArray[Any] | None = None,
        mask_input: MaskInput | None = None,
        *,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> list[Mask]:
        """The masks of one prompt, the best predicted IoU first.

        Args:
            points: [(x, y), ...] in pixels of the upright picture.
            labels: one per point, 1 foreground (the default) or 0 background.
            box: (x0, y0, x1, y1).
            mask_input: a mask of an earlier answer with `return_logits=True`, to be refined.
            multimask_output: three masks; False gives SAM's single mask.
            return_logits: keep what `mask_input` needs.
        """
        prompt = Prompt(points, labels, box, mask_input)
        return self.segment_many([prompt], multimask_output=multimask_output, return_logits=return_logits)[0]

    def segment_many(
        self, prompts: Sequence[Prompt], *, multimask_output: bool = True, return_logits: bool = False
    ) -> list[list[Mask]]:
        """The masks of several prompts in one request."""
        flow = calls.segment(self._state, prompts, multimask_output, return_logits, self._client._policy)
        return self._run(flow)

    def everything(self, progress: Progress | None = None, **parameters: Any) -> list[Mask]:
        """All masks of the picture, in SAM's order.

        Args:
            progress: called with (points done, points in all).
            parameters: of `SamAutomaticMaskGenerator` by their names, and `performance_mode`, `min_mask_area`.
        """
        return self._run(calls.everything(self._state, parameters, progress, self._client._policy))

    def analyze(self, progress: Progress | None = None, **rules: Any) -> "Analysis":
        """Objects, groups and measurements.

        Args:
            progress: called with (points done, points in all) while masks are looked for.
            rules: the fields of `/analyze`: `automatic`, `prompts` or `masks` (of this package's kinds, or arrays),
                `scale`, `preset`, `filters`, `groups` and so on.
        """
        document = self._run(calls.analyze(self._state, rules, progress, self._client._policy))
        return Analysis.from_json(document, picture=self, request=rules)

    def export(self, path: "str | Path", file_format: str | None = None, **rules: Any) -> Path:
        """Analyzes and writes the file that the server makes of it; the ending chooses the format.

        Raises:
            InvalidArgument: an ending that stands for no format, or the file can't be written.
        """
        path = Path(path)
        data = self._run(calls.export(self._state, calls.format_of(path, file_format), rules, self._client._policy))
        write_whole(path, data)
        return path

    def embedding(self) -> NDArray[np.float32]:
        """The image embedding, float32 [1, C, h, w]."""
        return self._run(calls.embedding(self._state, self._client._policy))

    def _run(self, flow: Flow[T]) -> T:
        # The first request carries the file; others that come meanwhile wait for its id.
        with self._first:
            if not self._state.image_id:
                return self._client._run(flow)
        return self._client._run(flow)


@dataclass(frozen=True)
class Analysis(AnalysisResult):
    """What `/analyze` found in a picture. request: the rules as they were given."""

    picture: Picture = field(repr=False, compare=False)
    request: Mapping[str, Any] = field(repr=False, compare=False)

    def save(self, path: "str | Path", file_format: str | None = None) -> Path:
        """Writes the analysis, whole or not at all; the ending chooses the format (docs/client.md has them).

        `.json` is this answer as it came. The other files are the server's, made by the same request.

        Raises:
            InvalidArgument: an ending that stands for no format, or the file can't be written.
        """
        path = Path(path)
        if calls.format_of(path, file_format) == "json":
            write_whole(path, json_bytes(self.document))
            return path
        return self.picture.export(path, file_format, **self.request)
