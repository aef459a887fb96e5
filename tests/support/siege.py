"""Clients that ask a server without a pause while others kill what answers; each answer is held to the undisturbed one.

Requests are prompts and grids, with the picture and by its id, on pictures that the server knows and on new ones, so
that at any moment every kind of replica has work. A client that is told `unknown_image` sends the picture, as the API
asks of it; nothing else is ever sent again.
"""

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from segmentation.weights.manifest import PROJECT_ROOT
from tests.support.answers import pixels
from tests.support.real_server import RealServer
from tests.support.reference import compare

CLIENTS = 8
PICTURES = tuple((PROJECT_ROOT / "docs" / "images" / name).read_bytes() for name in ("demo-cell.jpg", "demo-coins.jpg"))
PROMPTS: tuple[dict[str, Any], ...] = (
    {"prompts": [{"points": [[140, 52]]}]},
    {"prompts": [{"box": [60, 40, 200, 160]}, {"points": [[100.5, 90], [20, 20]], "labels": [1, 0]}]},
)
GRID: dict[str, Any] = {
    "points_per_side": 8,
    "crop_n_layers": 1,
    "pred_iou_thresh": 0.5,
    "stability_score_thresh": 0.5,
    "min_mask_region_area": 0,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to ask about one picture."""

    path: str
    picture: int
    fields: int

    @property
    def request(self) -> dict[str, Any]:
        return GRID if self.path == "/segment/auto" else PROMPTS[self.fields]


CASES = tuple(
    Case(path, picture, fields)
    for picture in range(len(PICTURES))
    for path, fields in [("/segment", n) for n in range(len(PROMPTS))] + [("/segment/auto", 0)]
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One request's end. Times by `time.monotonic`.

    status: 0 if the connection ended without an answer.
    right: its masks are those of the undisturbed server; None unless the status is 200.
    detail: what an answer that is not 200 says.
    """

    case: Case
    began: float
    ended: float
    status: int
    right: bool | None
    detail: str = ""


@dataclass
class Siege:
    """What came back so far, in the order it came."""

    replies: list[Reply] = field(default_factory=list)

    @property
    def failed(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.status != 200]

    @property
    def wrong(self) -> list[Reply]:
        return [reply for reply in self.replies if reply.right is False]

    def figures(self) -> dict[str, object]:
        """Requests by kind and status, wrong masks, the longest request in seconds, and the first failures' words."""
        return {
            "requests": dict(Counter(reply.case.path for reply in self.replies)),
            "statuses": {str(status): count for status, count in Counter(r.status for r in self.replies).items()},
            "failed": len(self.failed),
            "wrong": len(self.wrong),
            "longest_s": round(max(reply.ended - reply.began for reply in self.replies), 1),
            "failures": [reply.detail for reply in self.failed[:3]],
        }


class _Asker:
    """One client of the server. New pictures are old ones with other bytes after their end."""

    def __init__(self, server: RealServer, marks: "itertools.count[int]") -> None:
        self._client = server.client()
        self._marks = marks

    def close(self) -> None:
        self._client.close()

    def masks_of(self, answer: httpx2.Response) -> list[dict[str, Any]]:
        document = answer.json()
        if "results" in document:
            return [mask for result in document["results"] for mask in result["masks"]]
        return list(document["masks"])

    def send(self, case: Case, *, new: bool = False, image_id: str | None = None) -> httpx2.Response:
        if image_id:
            answer = self._client.post(case.path, json={"image_id": image_id, **case.request})
            if answer.status_code != 404:
                return answer
        picture = PICTURES[case.picture] + (b"\0%d" % next(self._marks) if new else b"")
        form = {"request": json.dumps(case.request)}
        return self._client.post(case.path, files={"image": ("a.jpg", picture)}, data=form)


@contextmanager
def under_siege(server: RealServer, seed: int, clients: int = CLIENTS) -> Iterator[Siege]:
    """Asks all through the block. When it ends, every request that was begun has been answered."""
    siege, marks, enough = Siege(), itertools.count(), threading.Event()
    asker = _Asker(server, marks)
    undisturbed = {case: asker.send(case) for case in CASES}
    for answer in undisturbed.values():
        answer.raise_for_status()
    expected = {case: asker.masks_of(answer) for case, answer in undisturbed.items()}
    ids = {case: answer.json()["image_id"] for case, answer in undisturbed.items()}
    asker.close()

    def ask(number: int) -> None:
        rng, caller = random.Random(1000 * seed + number), _Asker(server, marks)
        while not enough.is_set():
            case = rng.choice(CASES)
            by_id = rng.random() < 0.5
            began = time.monotonic()
            try:
                answer = caller.send(case, new=not by_id, image_id=ids[case] if by_id else None)
            except httpx2.TransportError as error:
                siege.replies.append(Reply(case, began, time.monotonic(), 0, None, repr(error)))
                continue
            ended, status = time.monotonic(), answer.status_code
            right = _same(expected[case], caller.masks_of(answer)) if status == 200 else None
            siege.replies.append(Reply(case, began, ended, status, right, "" if right else answer.text[:300]))
        caller.close()

    threads = [threading.Thread(target=ask, args=(number,), name=f"client {number}") for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield siege
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def _same(expected: list[dict[str, Any]], ours: list[dict[str, Any]]) -> bool:
    compared = compare(*([((), pixels(mask)) for mask in masks] for masks in (expected, ours)))
    return not compared.only_expected and not compared.only_ours
