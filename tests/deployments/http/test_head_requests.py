"""HEAD is answered as GET is, without the body."""

import pytest
from starlette.testclient import TestClient


@pytest.mark.parametrize("path", ["/health", "/backend_info", "/openapi.json", "/docs", "/embeddings/none", "/none"])
def test_head_is_get_without_its_body(client: TestClient, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    same = {"content-type", "content-length", "content-security-policy"} & set(got.headers)
    if path != "/backend_info":
        assert {name: head.headers[name] for name in same} == {name: got.headers[name] for name in same}


def test_what_takes_no_get_takes_no_head(client: TestClient) -> None:
    assert client.head("/segment").status_code == 405
    assert "HEAD" in client.post("/health").headers["allow"]
