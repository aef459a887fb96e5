"""`/openapi.json` is valid, and its examples are what the server takes and gives."""

from typing import Any

import httpx2
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from deployments.http.openapi.document import REQUEST_MODELS
from deployments.http.openapi.examples import ANSWERS, IMAGE_ID_EXAMPLE, PROBLEMS, REQUESTS
from deployments.http.problems import KINDS, MEDIA_TYPE
from deployments.http.requests import ImageRequest, ProblemDocument


@pytest.fixture(scope="module")
def document(url: str) -> dict[str, Any]:
    return httpx2.get(f"{url}/openapi.json").json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """The server's own: those of tools' protocols stand under headings, and are tested with them."""
    found = [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]
    return [(path, method, one) for path, method, one in found if "tags" not in one]


def test_it_is_openapi(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_has_examples_of_its_answer_and_of_its_body(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for kind, content in operation["responses"]["200"]["content"].items():
            assert kind in {"application/octet-stream", "image/png"} or content["example"], path
        if method == "post":
            assert operation["requestBody"]["content"]["application/json"]["examples"], path


CONNECTIONS = {"headers_too_large", "headers_too_slow"}
"""Problems of a connection, before there is a request that an operation could answer."""


def test_every_problem_code_has_an_example_where_it_can_happen(document: dict[str, Any]) -> None:
    kinds = KINDS.keys() - CONNECTIONS
    assert PROBLEMS.keys() == kinds
    assert document["components"]["examples"].keys() == kinds
    told: set[str] = set()
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            for name, example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).items():
                assert KINDS[name].status == int(status)
                assert example == {"$ref": f"#/components/examples/{name}"}
                told.add(name)
    assert told == kinds - {"method_not_allowed"}  # that one belongs to what is no operation


def test_the_examples_of_problems_and_answers_are_of_their_models() -> None:
    for code, problem in PROBLEMS.items():
        assert ProblemDocument.model_validate(problem, strict=True).code == code
    for model, answer in ANSWERS.items():
        model.model_validate(answer, strict=True)


PATHS = dict(zip(REQUEST_MODELS, ("/segment", "/segment/auto", "/embeddings", "/analyze"), strict=True))


@pytest.mark.parametrize("model", REQUEST_MODELS)
def test_the_examples_of_requests_are_answered(url: str, model: Any) -> None:
    examples = REQUESTS[model]
    answer = httpx2.post(url + PATHS[model], json=examples["by_image"], timeout=60)
    assert answer.status_code == 200, answer.text
    grid = {"points_per_side": 4}
    cheap = {"/segment/auto": grid, "/analyze": {"automatic": grid}}.get(PATHS[model], {})
    by_id = {**examples["by_id"], **cheap}
    assert by_id["image_id"] == IMAGE_ID_EXAMPLE
    again = httpx2.post(url + PATHS[model], json={**by_id, "image_id": answer.json()["image_id"]}, timeout=60)
    assert again.status_code == 200, again.text


def test_the_examples_of_a_server_work_in_order(url: str) -> None:
    shown = httpx2.get(f"{url}/openapi.json").text
    answer = httpx2.post(f"{url}/embeddings", json=REQUESTS[ImageRequest]["by_image"], timeout=60)
    assert answer.json()["image_id"] in shown
    assert IMAGE_ID_EXAMPLE not in shown
