"""One line a request, with what the handlers know, and none for what monitors ask for all day."""

import json
import logging

import pytest
from starlette.testclient import TestClient

REQUEST = {"prompts": [{"points": [[100, 60]]}]}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("request ")]


def test_an_answer_and_a_refusal_have_a_line_each(
    client: TestClient, png: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = {"image": ("a.png", png)}
    client.post("/segment", files=files, data={"request": json.dumps(REQUEST)}, headers={"x-request-id": "mine-1"})
    client.post("/segment", json={"image_id": "none", **REQUEST}, headers={"x-request-id": "mine-2"})
    client.get("/health")
    client.get("/none")
    first, second, third = lines(caplog)
    assert first.startswith("request mine-1 POST /segment 200 size=200x120 masks=3 ms=")
    assert "total:" in first
    assert second.startswith("request mine-2 POST /segment 404 code=unknown_image ms=total:")
    assert " GET - 404 code=not_found" in third


def test_a_path_breaks_no_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.get("/embeddings/a%0Arequest%20forged")
    (line,) = lines(caplog)
    assert "\n" not in line


def test_the_facts_are_fields_where_the_log_is_json(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.post("/segment", json={"image_id": "none", **REQUEST})
    (record,) = [record for record in caplog.records if hasattr(record, "sam_code")]
    assert record.sam_code == "unknown_image"
