"""Documents of requests: bounded, then parsed in pieces as Python parses them whole, with others served meanwhile."""

import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deployments.calls.errors import BodyTooLarge, InvalidJson
from deployments.http.body import image_bytes
from deployments.http.json_reader import BLOCK, LONG_TEXT_BYTES, MAX_MEMBERS, MAX_VALUES, PIECE_BYTES, read_json
from deployments.http.request_values import to_prompts
from deployments.http.requests import SegmentRequest, parse
from deployments.settings.server import Settings
from segmentation.errors import LimitExceeded, SegmentationError

MAX_PAUSE_S = 0.05
"""For everybody else. On a busy machine the measure itself is late: the shortest of three runs counts, and three times
what it measures of no work at all is allowed."""


def some_value(source: random.Random, depth: int = 0) -> Any:
    kind = source.random()
    if depth > 4 or kind < 0.4:
        return source.choice([1, 2.5, -3e5, True, None, 'a,b]\\"{', "é\n", "", "x" * 50])
    if kind < 0.7:
        return [some_value(source, depth + 1) for _ in range(source.randint(0, 6))]
    return {f"{source.choice('abc')}{n}": some_value(source, depth + 1) for n in range(source.randint(0, 5))}


def documents() -> list[Any]:
    source = random.Random(5)
    values = [some_value(source) for _ in range(4000)]
    return [
        values,
        {f"k{n}": values[40 * n : 40 * n + 40] for n in range(90)},
        {"a": {"b": [values[:2000], {"c": values[2000:]}]}, "d": [[[1.5, 2]] * 20_000]},
    ]


@pytest.mark.parametrize("document", documents())
def test_pieces_are_put_together_as_the_whole_is(document: Any) -> None:
    for data in (json.dumps(document).encode(), json.dumps(document, ensure_ascii=False, indent=1).encode()):
        assert len(data) > 3 * PIECE_BYTES
        assert read_json(data).value == document


def test_what_is_wrong_is_wrong_in_pieces_too() -> None:
    source = random.Random(6)
    whole = json.dumps(documents()[1]).encode()
    wrong = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(source.randint(1, 2)):
            data[source.randrange(len(data))] = source.choice(b'[]{},:" 1x')
        try:
            expected = json.loads(data)
        except ValueError:
            wrong += 1
            with pytest.raises(SegmentationError):
                read_json(bytes(data))
        else:
            assert read_json(bytes(data)).value == expected
    assert wrong > 20


@pytest.mark.parametrize("comma", [b"1,,1", b"[,1]", b"[1,]", b'{"a":,"b":1}', b'{,"a":1}', b"1,]"])
def test_a_value_that_is_missing_where_a_piece_ends_is_missed(comma: bytes) -> None:
    for before in range(PIECE_BYTES - 9, PIECE_BYTES + 3):
        with pytest.raises(InvalidJson):
            read_json(b"[" + b" " * before + comma + b"," + b"1," * PIECE_BYTES + b"1]")


def test_a_key_twice_in_different_pieces() -> None:
    with pytest.raises(InvalidJson, match="twice"):
        read_json(b'{"a":[' + b"1," * PIECE_BYTES + b'1],"b":1,"a":2}')


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"prompts":[' + b"1," * 5_000_000 + b"1]}", LimitExceeded),
        (b'{"prompts":[' + b"[]," * MAX_VALUES + b"1]}", LimitExceeded),
        (b"[" * 10_000_000, InvalidJson),
        (b"[" + b" " * 30_000_000 + b"]", BodyTooLarge),
        (b"{" + b",".join(b'"%d":1' % n for n in range(MAX_MEMBERS + 1)) + b"}", LimitExceeded),
        (b"[" + b'"x",' * PIECE_BYTES + b"}", InvalidJson),
        (b'["' + b"x" * 2 * LONG_TEXT_BYTES, SegmentationError),
    ],
)
def test_too_much_is_refused_before_it_is_parsed(data: bytes, error: type[Exception]) -> None:
    started = time.perf_counter()
    with pytest.raises(error):
        read_json(data)
    assert time.perf_counter() - started < 2


def test_a_long_string_is_left_in_the_body() -> None:
    image = b"QUJD" * (LONG_TEXT_BYTES // 4) + b"\\r\\n" + b"QU\\u003d\\u003d"
    document = read_json(b'{"decode":{},"image":"' + image + b'","prompts":[1]}')
    assert document.value["prompts"] == [1]
    text = document.long_texts[document.value["image"]]
    assert image_bytes(text) == b"ABC" * (LONG_TEXT_BYTES // 4) + b"A"


def longest_pause(work: Callable[[], object]) -> float:
    """Seconds for which the work kept another thread from running."""
    pauses = [0.0]
    ended = threading.Event()

    def look() -> None:
        latest = time.perf_counter()
        while not ended.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            pauses.append(now - latest)
            latest = now

    watch = threading.Thread(target=look)
    watch.start()
    try:
        work()
    finally:
        ended.set()
        watch.join()
    return max(pauses)


def test_nobody_waits_for_a_large_document() -> None:
    prompts = [{"points": [[1.5, 2.5]] * 1024, "labels": [1] * 1024}] * 64
    large = json.dumps({"image_id": "x", "prompts": prompts}).encode()
    picture = b'{"image":"' + b"A" * 40_000_000 + b'"}'
    wrong = json.dumps({"prompts": [{"points": [["a", 1]] * 1024, "labels": ["b"] * 1024}] * 64}).encode()
    settings = Settings()

    def read() -> None:
        assert len(to_prompts(parse(SegmentRequest, read_json(large).value, settings), settings, 256)) == 64

    def read_picture() -> None:
        document = read_json(picture)
        assert len(image_bytes(document.long_texts[document.value["image"]])) == 30_000_000

    def refuse() -> None:
        with pytest.raises(SegmentationError):
            parse(SegmentRequest, read_json(wrong).value, settings)

    for work in (read, read_picture, refuse):
        work()
        idle = max(longest_pause(lambda: time.sleep(0.3)) for _ in range(3))
        assert min(longest_pause(work) for _ in range(3)) < max(MAX_PAUSE_S, 3 * idle), work.__name__


def test_numbers_are_json_schemas() -> None:
    fields = parse(SegmentRequest, {"image_id": "x", "prompts": [{"points": [[1, 2.0]], "labels": [1.0]}]}, Settings())
    (prompt,) = to_prompts(fields, Settings(), 256)
    assert prompt.labels.tolist() == [1]
    assert np.array_equal(prompt.points, [[1, 2]])
    for labels in ([0.5], [True], ["1"], [10**4000], [1e300]):
        with pytest.raises(SegmentationError):
            to_prompts(
                parse(
                    SegmentRequest, {"image_id": "x", "prompts": [{"points": [[1, 2]], "labels": labels}]}, Settings()
                ),
                Settings(),
                256,
            )


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1])
@pytest.mark.parametrize("end", ["", "\\", '"', '\\"', "\\\\", 'x\\" , "'])
def test_strings_end_where_they_end_whatever_their_length(length: int, end: str) -> None:
    """Strings are looked over in blocks: an escape or a quote at each place of one, in a document of several pieces."""
    value = {"filler": ["x" * 100] * (PIECE_BYTES // 50), "text": "a" * length + end, "after": [1, {"b": "c"}]}
    for before in (0, 1, 7):
        data = b" " * before + json.dumps(value).encode()
        assert read_json(data).value == value
