"""Pictures that Label Studio holds: fetched with its token, from the operator's origins only."""

from collections.abc import Iterator
from typing import Any

import pytest
from local_graph import LocalGraph
from picture_server import PictureServer, serving_picture
from segment_anything.modeling import Sam
from starlette.testclient import TestClient
from tool_oracle import ok

from deployments.http.routes import create_app

TOKEN = "0123456789abcdef"
CONFIG = (
    '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="A"/></BrushLabels></View>'
)
POINT = {"type": "keypointlabels", "original_width": 200, "original_height": 120, "value": {"x": 30, "y": 33}}


@pytest.fixture
def studio(png: bytes) -> Iterator[PictureServer]:
    with serving_picture(png, f"Token {TOKEN}") as server:
        yield server


@pytest.fixture
def foreign(png: bytes) -> Iterator[PictureServer]:
    """Another server, whose pictures anybody may read."""
    with serving_picture(png) as server:
        yield server


def served(sam: Sam, *origins: str) -> TestClient:
    return TestClient(create_app(LocalGraph(sam, {"image_url_origins": origins}).service))


def connect(client: TestClient, url: str, token: str = TOKEN) -> None:
    setup = {"project": "1.1", "schema": CONFIG, "hostname": url, "access_token": token}
    ok(client.post("/label-studio/setup", json=setup))


def predict(client: TestClient, picture: str, project: str = "1.1") -> Any:
    return client.post(
        "/label-studio/predict",
        json={
            "tasks": [{"data": {"image": picture}}],
            "project": project,
            "label_config": CONFIG,
            "params": {"context": {"result": [POINT]}},
        },
    )


def test_the_picture_is_fetched_with_the_token_and_is_what_the_user_sees(
    sam: Sam, studio: PictureServer, picture: str
) -> None:
    with served(sam, studio.url) as client:
        connect(client, studio.url)
        fetched = ok(predict(client, "/data/upload/1/photo.png"))
        assert studio.asked == [("/data/upload/1/photo.png", f"Token {TOKEN}")]
        sent = ok(predict(client, f"data:image/png;base64,{picture}"))
        whole = ok(predict(client, f"{studio.url}/data/upload/1/photo.png"))
    (rle,) = {str(found["results"][0]["result"][0]["value"]["rle"]) for found in (fetched, sent, whole)}
    assert len(rle) > 10


def test_an_origin_that_is_not_listed_is_not_asked(sam: Sam, studio: PictureServer, foreign: PictureServer) -> None:
    with served(sam) as client:
        connect(client, studio.url)
        refused = predict(client, "/data/upload/1/photo.png")
    assert (refused.status_code, set(refused.json())) == (403, {"error"})
    with served(sam, studio.url) as client:
        connect(client, studio.url)
        assert predict(client, f"{foreign.url}/photo.png").status_code == 403
        assert predict(client, f"//127.0.0.1:{foreign.url.rpartition(':')[2]}/photo.png").status_code == 403
    assert studio.asked == foreign.asked == []


def test_the_token_goes_to_no_other_server(sam: Sam, studio: PictureServer, foreign: PictureServer) -> None:
    with served(sam, studio.url, foreign.url) as client:
        connect(client, studio.url)
        ok(predict(client, f"{foreign.url}/photo.png"))
    assert foreign.asked == [("/photo.png", None)]


def test_a_wrong_token_or_an_unknown_project_is_told(sam: Sam, studio: PictureServer) -> None:
    with served(sam, studio.url) as client:
        connect(client, studio.url, token="another")
        refused = predict(client, "/photo.png")
        assert refused.status_code == 400
        assert "401" in refused.json()["error"]
        unknown = predict(client, "/photo.png", project="2.2")
        assert unknown.status_code == 422
        assert "connect the backend again" in unknown.json()["error"]
