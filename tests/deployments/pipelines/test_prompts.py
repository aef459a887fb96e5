"""Remote calls of a prompt: one where the decoder keeps the picture prepared, two where the picture is new."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from local_graph import PLAN, LocalGraph
from oracle import TINY
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.routes import create_app
from deployments.replicas.caches.blobs import open_blobs
from deployments.replicas.caches.embedding_store import EmbeddingStore
from deployments.telemetry.events import EmitEvent, Event, StoreUsed

PROMPT = '{"prompts": [{"points": [[60, 40]]}]}'


def calls(graph: LocalGraph) -> Counter[str]:
    made = Counter(
        {
            f"{deployment.name}.{name}": n
            for deployment in (graph.encoder, graph.decoder)
            for name, n in deployment.calls.items()
        }
    )
    graph.encoder.calls.clear()
    graph.decoder.calls.clear()
    return made


def send(client: TestClient, png: bytes) -> Any:
    answer = client.post("/segment", files={"image": png}, data={"request": PROMPT})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_click_on_a_prepared_picture_is_one_call(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    first = send(client, png)
    assert calls(graph) == {"ImageEncoder.embed": 1, "PromptDecoder.decode": 1}
    by_id = client.post("/segment", json={"image_id": first["image_id"], "prompts": [{"points": [[60, 40]]}]}).json()
    assert by_id["results"] == first["results"]
    assert calls(graph) == {"PromptDecoder.decode_prepared": 1}
    assert send(client, png)["results"] == first["results"]
    assert calls(graph) == {"PromptDecoder.decode_prepared": 1}


def test_a_decoder_that_has_it_not_is_given_the_embedding(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    first = send(client, png)
    calls(graph)
    graph.decoder.replica = graph.new_decoder()
    assert send(client, png)["results"] == first["results"]
    assert calls(graph) == {
        "PromptDecoder.decode_prepared": 1, "ImageEncoder.embed": 1, "PromptDecoder.decode": 1,
    }  # fmt: skip
    assert graph.backend.batches == [1]


def test_an_embedding_that_was_evicted_is_made_again(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    first = send(client, png)
    graph.decoder.replica = graph.new_decoder()
    encoder: Any = graph.encoder.replica
    encoder.reconfigure({"cache_mb": 0.000001})
    encoder.reconfigure({"cache_mb": 100})
    assert send(client, png)["results"] == first["results"]
    assert graph.backend.batches == [1, 1]
    by_id = client.post("/segment", json={"image_id": first["image_id"], "prompts": [{"points": [[60, 40]]}]})
    assert by_id.json()["results"] == first["results"]


@pytest.mark.parametrize("path", ["/segment", "/embeddings", "/segment/auto"])
def test_the_store_is_asked_once_for_a_picture(sam: Sam, png: bytes, path: str, tmp_path: Path) -> None:
    events: list[Event] = []

    def open_store(emit: EmitEvent) -> EmbeddingStore:
        return EmbeddingStore(
            open_blobs(str(tmp_path), 10**9, relative_to=tmp_path),
            model=PLAN.spec.name, shape=TINY.embedding_shape, emit=emit,
        )  # fmt: skip

    def looks() -> list[str]:
        return [event.outcome for event in events if isinstance(event, StoreUsed) and event.outcome != "written"]

    fields = {"/segment": PROMPT, "/embeddings": "{}", "/segment/auto": '{"points_per_side": 2, "crop_n_layers": 0}'}
    with TestClient(create_app(LocalGraph(sam, emit=events.append, open_store=open_store).service)) as client:
        answer = client.post(path, files={"image": png}, data={"request": fields[path]})
    assert answer.status_code == 200, answer.text
    assert looks() == ["missing"]


def test_prompts_that_can_not_be_cost_no_encoding(client: TestClient, png: bytes, graph: LocalGraph) -> None:
    outside = '{"prompts": [{"points": [[60, 40]]}, {"points": [[60, 4000]]}]}'
    answer = client.post("/segment", files={"image": png}, data={"request": outside})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/prompts/1/points/0")
    assert graph.backend.batches == []
    send(client, png)
    again = client.post("/segment", files={"image": png}, data={"request": outside})
    assert (again.status_code, again.json()["errors"]) == (422, answer.json()["errors"])
