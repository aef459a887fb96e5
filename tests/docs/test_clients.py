"""The clients that people use: Python's requests and httpx, JavaScript's fetch, and a form as browsers send it."""

import base64
import json
import shutil
import subprocess
from typing import Any

import httpx2
import pytest
import requests

from deployments.http.openapi.examples import DISC

PNG = base64.b64decode(DISC.partition(",")[2])
PROMPTS = {"prompts": [{"points": [[15, 11]]}], "multimask_output": False}
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
FETCH = """
const [url, file, prompts] = process.argv.slice(1)
const bytes = Buffer.from(file, "base64")
const form = new FormData()
form.append("image", new Blob([bytes], { type: "image/png" }), "scheibe \\u20ac.png")
form.append("request", prompts)
const first = await (await fetch(`${url}/segment`, { method: "POST", body: form })).json()
const json = JSON.stringify({ image_id: first.image_id, ...JSON.parse(prompts) })
const headers = { "Content-Type": "application/json" }
const second = await (await fetch(`${url}/segment`, { method: "POST", headers, body: json })).json()
const auto = { image_id: first.image_id, points_per_side: 2, crop_n_layers: 0, stream: true }
const answer = await fetch(`${url}/segment/auto`, { method: "POST", headers, body: JSON.stringify(auto) })
const lines = []
for await (const chunk of answer.body) lines.push(Buffer.from(chunk).toString())
const wrong = await fetch(`${url}/segment`, { method: "POST", headers, body: "{" })
console.log(JSON.stringify({ first, second, events: lines.join(""), wrong: [wrong.status, (await wrong.json()).code] }))
"""


def results(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_requests_and_httpx_agree(url: str) -> None:
    form: dict[str, Any] = {"data": {"request": json.dumps(PROMPTS)}, "files": {"image": ("scheibe €.png", PNG)}}
    by_json = {**PROMPTS, "image": base64.b64encode(PNG).decode()}
    answers = [
        results(requests.post(f"{url}/segment", timeout=60, **form)),
        results(requests.post(f"{url}/segment", timeout=60, json=by_json)),
        results(httpx2.post(f"{url}/segment", timeout=60, **form)),
        results(httpx2.post(f"{url}/segment", timeout=60, json=by_json)),
    ]
    assert len(answers[0][0]["masks"]) == 1
    assert answers.count(answers[0]) == 4


def test_requests_reads_a_stream_by_lines(url: str) -> None:
    wanted = {"image": DISC, "points_per_side": 2, "crop_n_layers": 0, "stream": True}
    with requests.post(f"{url}/segment/auto", json=wanted, stream=True, timeout=60) as answer:
        events = [json.loads(line)["event"] for line in answer.iter_lines()]
    assert [events[0], events[-1]] == ["start", "end"]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_fetch(url: str) -> None:
    command = ["node", "--input-type=module", "-e", FETCH, url, base64.b64encode(PNG).decode(), json.dumps(PROMPTS)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert found["first"]["results"] == found["second"]["results"]
    assert len(found["first"]["results"][0]["masks"]) == 1
    events = [json.loads(line)["event"] for line in found["events"].splitlines()]
    assert [events[0], events[-1]] == ["start", "end"]
    assert found["wrong"] == [400, "invalid_json"]


def browser_form(filename: str, picture: bytes) -> tuple[bytes, dict[str, str]]:
    """What browsers send for `<input type=file name=image>` and `<textarea name=request>`."""
    mark = "--" + BOUNDARY
    kind = "image/png" if picture else "application/octet-stream"
    prompts = json.dumps(PROMPTS, indent=1).replace("\n", "\r\n")
    head = f'{mark}\r\nContent-Disposition: form-data; name="image"; {filename}\r\nContent-Type: {kind}\r\n\r\n'
    tail = f'\r\n{mark}\r\nContent-Disposition: form-data; name="request"\r\n\r\n{prompts}\r\n{mark}--\r\n'
    return head.encode() + picture + tail.encode(), {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.mark.parametrize(
    "filename",
    [
        'filename="disc.png"',
        'filename="scheibe €.png"',
        'filename="a%22b.png"',
        'filename="C:\\disc.png"',
        "filename=\"scheibe.png\"; filename*=UTF-8''scheibe%20%e2%82%ac.png",
    ],
)
def test_a_form_as_browsers_send_it(url: str, filename: str) -> None:
    body, headers = browser_form(filename, PNG)
    assert len(results(httpx2.post(f"{url}/segment", content=body, headers=headers, timeout=60))[0]["masks"]) == 1


def test_a_form_whose_file_was_not_chosen(url: str) -> None:
    body, headers = browser_form('filename=""', b"")
    problem = httpx2.post(f"{url}/segment", content=body, headers=headers).json()
    assert problem["code"] == "invalid_image"
    assert "empty" in problem["detail"]
