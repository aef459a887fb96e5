"""The page's files: complete, small, without script inside the page, and open to people who have no API key yet."""

import re

import pytest
from local_graph import LocalGraph
from segment_anything.modeling import Sam
from starlette.testclient import TestClient

from deployments.http.page.page import FILES, page_files
from deployments.http.routes import create_app
from deployments.settings.api_keys import parse_api_keys

LARGEST_BYTES = 200_000


def text_of(client: TestClient, name: str) -> str:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200, name
    return answer.text


def test_the_page_and_all_it_loads_is_served(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert {"page/main.js", "page/theme.css"} <= set(addresses)
    for address in addresses:
        assert client.get(f"/{address}").status_code == 200, address
    for name in page_files():
        if name.endswith(".js"):
            for module in re.findall(r'from "\./([a-z_]+\.js)"', text_of(client, name)):
                assert client.get(f"/page/{module}").headers["content-type"] == "text/javascript; charset=utf-8"


def test_the_policy_allows_no_script_in_the_page_and_there_is_none(client: TestClient) -> None:
    page = client.get("/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style|https?:", page.text)
    assert client.get("/page/main.js").headers["content-security-policy"] == page.headers["content-security-policy"]


def test_no_file_names_another_host_or_writes_markup() -> None:
    for name, file in page_files().items():
        if name.endswith((".js", ".css", ".html")):
            text = file.content.decode().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(
                r"https?://|innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
            ), name


def test_the_page_is_small() -> None:
    loaded = [file for name, file in page_files().items() if not name.endswith(".jpg")]
    assert sum(len(file.content) for file in loaded) < LARGEST_BYTES
    assert {path.name for path in FILES.iterdir()} == set(page_files())


def test_files_are_asked_for_again_and_not_sent_twice(client: TestClient) -> None:
    first = client.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/page/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/page/main.js", headers={"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "page.py", "..%2fpage.py", "index.html", "types.d.ts"])
def test_other_files_are_not_served(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").json()["code"] == "not_found"


def test_the_page_opens_without_a_key_and_nothing_else_does(sam: Sam) -> None:
    graph = LocalGraph(sam, settings={"api_keys": parse_api_keys("alice:alice-0123456789abcdef")})
    with TestClient(create_app(graph.service), raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/main.js").status_code == 200
        assert client.get("/backend_info").json()["code"] == "unauthorized"
