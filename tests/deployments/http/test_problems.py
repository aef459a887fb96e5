"""Problem documents, and the table of them in `docs/api.md`."""

import re

import pytest

from deployments.calls.errors import Overloaded
from deployments.http.problems import INTERNAL, KINDS, problem_of
from segmentation.errors import ConfigurationError, InvalidRequest, NumericalError
from segmentation.weights.manifest import PROJECT_ROOT


def test_the_documentation_has_every_code_with_its_status() -> None:
    section = (PROJECT_ROOT / "docs" / "api.md").read_text().partition("\n## Errors\n")[2]
    rows = re.findall(r"^\| (`[^|]+) \| (\d{3}) \|", section, re.MULTILINE)
    documented = {code: int(status) for codes, status in rows for code in re.findall(r"`(\w+)`", codes)}
    assert documented == {code: kind.status for code, kind in KINDS.items()}


@pytest.mark.parametrize("error", [ValueError("/etc/x"), NumericalError("/etc/x"), ConfigurationError("/etc/x")])
def test_the_servers_own_faults_say_nothing_of_its_insides(error: Exception) -> None:
    assert problem_of(error) is INTERNAL


def test_a_wrong_field_is_named_in_ascii_whatever_its_name() -> None:
    problem = problem_of(InvalidRequest("unknown field", "/é\ud800"))
    assert problem.status == 422
    assert rb'"/\u00e9\ud800"' in problem.body("id")


def test_what_can_be_tried_again_says_when() -> None:
    problem = problem_of(Overloaded("busy"))
    assert (problem.status, problem.headers()["retry-after"]) == (503, "1")
