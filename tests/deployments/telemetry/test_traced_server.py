"""A running server with a collector: one trace per request, over the processes of all deployments."""

import json
from collections import Counter

import pytest
from collector import Collector, SentSpan
from real_server import RealServer

from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PICTURE = PROJECT_ROOT / "docs" / "images" / "coins.png"
PROMPT = {"prompts": [{"points": [[140, 52]]}]}
GRID = {"points_per_side": 8, "crop_n_layers": 1, "pred_iou_thresh": 0.0}
MOST_CALLS = 100
"""Remote calls of a run with two layers of crops: 21 embeddings, their shards, and one merge."""
CALLERS_TRACE, CALLERS_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def server(demo_server: RealServer) -> RealServer:
    return demo_server


def ask(server: RealServer, path: str, request: object, request_id: str, **headers: str) -> int:
    with server.client() as client:
        files = {"image": PICTURE.read_bytes()}
        headers = {"X-Request-ID": request_id, **headers}
        return client.post(path, files=files, data={"request": json.dumps(request)}, headers=headers).status_code


def tree(spans: list[SentSpan]) -> Counter[str]:
    """How many spans there are of each "parent > name"."""
    names = {span.id: span.name for span in spans}
    return Counter(f"{names.get(span.parent, span.parent)} > {span.name}" for span in spans)


def assert_within_parents(spans: list[SentSpan]) -> None:
    by_id = {span.id: span for span in spans}
    slack_ns = 2_000_000
    for span in spans:
        if parent := by_id.get(span.parent):
            assert parent.start_ns - slack_ns <= span.start_ns <= span.end_ns <= parent.end_ns + slack_ns, span


def test_a_prompt_is_one_trace_below_the_callers_own(server: RealServer, collector: Collector) -> None:
    parent = f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01"
    assert ask(server, "/segment", PROMPT, "traced-1", traceparent=parent) == 200
    spans = collector.settled("traced-1")
    assert {span.trace for span in spans} == {CALLERS_TRACE}
    found = tree(spans)
    root = "POST /segment"
    assert found[f"{CALLERS_SPAN} > {root}"] == 1
    for step in ("decode", "ImageEncoder.embed", "PromptDecoder.decode"):
        assert found[f"{root} > {step}"] >= 1, found
    assert found["ImageEncoder.embed > run"] == found["PromptDecoder.decode > run"] == 1
    assert_within_parents(spans)
    (run,) = (span for span in spans if span.name == "run" and span.part == "ImageEncoder")
    assert run.attributes == {"sam.batch": "1", "sam.weight": "1"}
    (request,) = (span for span in spans if span.name == root)
    assert request.attributes == {
        "sam.request_id": "traced-1",
        "http.request.method": "POST",
        "http.route": "/segment",
        "http.response.status_code": "200",
    }


def test_a_grid_is_one_trace_of_its_own_over_every_replica(server: RealServer, collector: Collector) -> None:
    assert ask(server, "/segment/auto", GRID, "traced-2") == 200
    spans = collector.settled("traced-2")
    assert len({span.trace for span in spans}) == 1
    assert [span.name for span in spans if not span.parent] == ["POST /segment/auto"]
    found = tree(spans)
    shards = found["POST /segment/auto > MaskGridGenerator.decode"]
    assert shards >= 5  # the picture, and four crops of it
    assert found["MaskGridGenerator.decode > run"] == shards
    assert found["POST /segment/auto > MaskGridGenerator.merge"] == 1
    assert found["ImageEncoder.embed > run"] >= 4
    assert_within_parents(spans)


def test_a_run_of_the_quality_profile_takes_few_remote_calls(server: RealServer, collector: Collector) -> None:
    assert ask(server, "/segment/auto", {}, "traced-5") == 200
    calls = Counter(span.name for span in collector.settled("traced-5") if "." in span.name)
    assert calls["MaskGridGenerator.merge"] == 1
    assert 21 <= calls.total() <= MOST_CALLS, calls


def test_nothing_is_sent_of_health_or_for_a_caller_who_does_not_sample(
    server: RealServer, collector: Collector
) -> None:
    not_sampled = f"00-{'ab' * 16}-{CALLERS_SPAN}-00"
    assert ask(server, "/segment", PROMPT, "traced-3", traceparent=not_sampled) == 200
    with server.client() as client:
        assert client.get("/health").status_code == 200
    assert ask(server, "/segment", PROMPT, "traced-4") == 200
    collector.settled("traced-4")
    assert not [span for span in collector.spans if span.trace == "ab" * 16]
    assert not [span for span in collector.spans if "health" in span.name or span.name == "request"]
