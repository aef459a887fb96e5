"""Whether an answer is one that `/openapi.json` documents: the code of a problem, at its route, with its status."""

from collections.abc import Mapping
from typing import Any

from deployments.http.problems import KINDS, MEDIA_TYPE

ROUTING = {"not_found", "method_not_allowed"}
"""What an address or a method that is not there is answered; no route documents them."""


def codes(document: Mapping[str, Any], path: str, method: str) -> set[str]:
    """The codes of the problems that a route documents."""
    responses = document["paths"][path][method.lower()]["responses"]
    contents = [response.get("content", {}).get(MEDIA_TYPE, {}) for response in responses.values()]
    return {name for content in contents for name in content.get("examples", {})}


def problem_code(status: int, media_type: str, problem: Mapping[str, Any], allowed: set[str]) -> str:
    """The problem's code, after a look at all the rest of it."""
    assert media_type == MEDIA_TYPE, problem
    assert {"type", "title", "status", "code", "detail", "errors", "request_id"} == problem.keys()
    code = str(problem["code"])
    assert code in allowed, (code, allowed)
    assert status == problem["status"] == KINDS[code].status
    assert problem["detail"]
    assert problem["title"] == KINDS[code].title
    for inside in ("Traceback", "/work", "site-packages", "object at 0x", ".py"):
        assert inside not in problem["detail"], problem
    assert all(error.keys() == {"pointer", "message"} for error in problem["errors"])
    return code
