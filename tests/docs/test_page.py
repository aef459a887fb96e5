"""`/docs` needs nothing but this server, and obeys a policy that allows no script inside the page."""

import json
import re
import shutil
import subprocess

import httpx2
import pytest

from deployments.http.openapi.docs_page import ASSETS


def addresses(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', html)


def test_every_file_of_the_page_is_ours(url: str) -> None:
    page = httpx2.get(f"{url}/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert set(addresses(page.text)) == {f"docs/assets/{name}" for name in ASSETS}
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|https?:", page.text)
    for address in addresses(page.text):
        asset = httpx2.get(f"{url}/{address}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].split(";")[0] == ASSETS[address.rpartition("/")[2]][1]
    assert "http" not in httpx2.get(f"{url}/docs/assets/docs.js").text


def test_other_files_are_not_served(url: str) -> None:
    for name in ("nothing.js", "__init__.py", "..%2f..%2fpyproject.toml", "index.html"):
        assert httpx2.get(f"{url}/docs/assets/{name}").json()["code"] == "not_found"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_script_starts_swagger_ui_on_our_description(url: str) -> None:
    """Swagger UI itself needs a browser: here its constructor records what it is given."""
    script = httpx2.get(f"{url}/docs/assets/docs.js").text
    program = f"function SwaggerUIBundle(options) {{ console.log(JSON.stringify(options)) }}\n{script}"
    done = subprocess.run(["node", "-e", program], capture_output=True, check=True, timeout=30)
    options = json.loads(done.stdout)
    assert httpx2.get(f"{url}/{options['url']}").json()["openapi"].startswith("3.1")
    assert options["validatorUrl"] is None
    assert f'id="{options["dom_id"].removeprefix("#")}"' in httpx2.get(f"{url}/docs").text
