"""Every decoder of what callers send, on bytes from nowhere and on good ones that were damaged: only errors of ours."""

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_corpus import corpus
from pictures import KINDS, encoded, picture
from processes_tasks import own_pid
from starlette.datastructures import Headers

from deployments.calls.errors import InvalidJson
from deployments.calls.npy import from_base64_npy, to_npy
from deployments.http.body import _read_form, image_bytes
from deployments.http.json_reader import read_json
from segmentation.errors import ImageTooLarge, InvalidImage, InvalidRequest, UnsupportedMediaType
from segmentation.masks import rle
from segmentation.pictures.decode import decode_image
from segmentation.pictures.options import DecodeOptions
from segmentation.pictures.processes import DecoderProcesses, Task
from segmentation.pictures.tasks import everything

Run = Callable[[Callable[[], None]], None]
EXAMPLES = 60
PICTURES = [encoded(picture("P" if kind == "GIF" else "RGB"), kind) for kind in KINDS]
ARRAY = to_npy(np.zeros((4, 4), np.float32))
SAMPLES = corpus()
EXTREMES = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4), b"\0\0\x40\0", b"\0\0\0\x01")
FORM = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc\r\n--x--\r\n'


@st.composite
def damaged(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of them with bytes changed, cut out, repeated or put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(len(data), 400)))
        length = draw(st.integers(0, 16))
        data[place : place + length] = draw(st.binary(max_size=16))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


OPTIONS = st.sampled_from([DecodeOptions(), DecodeOptions(page=1), DecodeOptions(scaling="percentile")])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_pictures(fuzz: Run) -> None:
    @settings(max_examples=3 * EXAMPLES)
    @given(st.binary(max_size=200) | damaged(PICTURES), OPTIONS)
    def decode(data: bytes, options: DecodeOptions) -> None:
        with contextlib.suppress(InvalidImage, ImageTooLarge, UnsupportedMediaType, InvalidRequest):
            rgb = decode_image(data, max_megapixels=1, options=options)
            assert rgb.dtype == np.uint8
            assert rgb.ndim == 3

    fuzz(decode)


@st.composite
def damaged_anywhere(draw: st.DrawFn) -> bytes:
    """A file of the corpus with bytes changed, cut out, repeated or put in, in its header as often as behind it."""
    data = bytearray(SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))].data)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, min(len(data), 300)) | st.integers(0, len(data)))
        length = draw(st.integers(0, 8))
        new = draw(st.binary(max_size=8) | st.sampled_from(EXTREMES) | st.just(bytes(data[place : place + length]) * 3))
        data[place : place + length] = new
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.integers(0, 3)) == 0 else bytes(data)


def test_the_corpus_in_its_process(fuzz: Run) -> None:
    """Every format and compression, as the server reads them: a crash of a library is an error of its picture."""
    processes = DecoderProcesses(1)

    @settings(max_examples=3 * EXAMPLES)
    @given(damaged_anywhere(), OPTIONS)
    def decode(data: bytes, options: DecodeOptions) -> None:
        with contextlib.suppress(InvalidImage, ImageTooLarge, UnsupportedMediaType, InvalidRequest):
            picture = processes.run(Task(everything, data, (options, 1.0)))
            assert picture.rgb.dtype == np.uint8
            assert picture.rgb.ndim == picture.samples.ndim == 3
            assert picture.rgb.shape[:2] == picture.samples.shape[:2]
            assert peak_bytes(processes) < 1_000_000_000

    try:
        fuzz(decode)
    finally:
        processes.close()


def peak_bytes(processes: DecoderProcesses) -> int:
    """The most memory that the process has ever had."""
    pid = processes.run(Task(own_pid, b""))
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1024 * int(found[1]) if found else 0


def test_base64_and_data_uris(fuzz: Run) -> None:
    @settings(max_examples=EXAMPLES)
    @given(st.text() | st.text().map("data:{}".format) | st.binary().map(lambda b: base64.b64encode(b).decode()))
    def decode(text: str) -> None:
        with contextlib.suppress(InvalidImage):
            assert isinstance(image_bytes(text), bytes)

    fuzz(decode)


def test_json(fuzz: Run) -> None:
    @settings(max_examples=EXAMPLES)
    @given(st.binary() | damaged([b'{"prompts": [{"points": [[1.5e3, -2]], "labels": [true, null]}]}']))
    def decode(data: bytes) -> None:
        with contextlib.suppress(InvalidJson):
            read_json(data)

    fuzz(decode)


def test_arrays(fuzz: Run) -> None:
    @settings(max_examples=EXAMPLES)
    @given(st.binary() | damaged([ARRAY]))
    def decode(data: bytes) -> None:
        with contextlib.suppress(InvalidRequest):
            assert from_base64_npy(base64.b64encode(data).decode(), (4, 4), "/x").shape == (4, 4)

    fuzz(decode)


def test_forms(fuzz: Run) -> None:
    @settings(max_examples=EXAMPLES)
    @given(st.binary() | damaged([FORM]), st.integers(1, 50))
    def decode(data: bytes, step: int) -> None:
        async def chunks() -> AsyncGenerator[bytes, None]:
            for start in range(0, len(data), step):
                yield data[start : start + step]

        headers = Headers({"content-type": "multipart/form-data; boundary=x"})
        with contextlib.suppress(InvalidRequest):
            asyncio.run(_read_form(headers, chunks(), 10_000))

    fuzz(decode)


def test_run_lengths(fuzz: Run) -> None:
    """The server reads its own only; a library's user may bring others, and every mask must come back as it was."""

    @settings(max_examples=EXAMPLES)
    @given(st.integers(1, 9), st.integers(1, 9), st.data())
    def there_and_back(height: int, width: int, data: st.DataObject) -> None:
        flat = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
        mask = np.array(flat).reshape(height, width)
        assert np.array_equal(rle.decode(rle.encode(mask)), mask)

    fuzz(there_and_back)
