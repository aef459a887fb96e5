"""Which Label Studio a project belongs to, and where its token goes."""

import pytest

from deployments.http.auth import ANYBODY, ApiKeys, Caller
from deployments.http.protocols.label_studio.projects import MAX_PROJECTS, LabelStudio, Projects
from deployments.settings.api_keys import parse_api_keys
from segmentation.errors import InvalidRequest

STUDIO = LabelStudio("http://10.0.0.5:8080", "secret-token")


def somebody(name: str) -> Caller:
    key = f"{name}-0123456789abcdef"
    return ApiKeys(parse_api_keys(f"{name}:{key}")).caller(key)


@pytest.mark.parametrize(
    ("picture", "url"),
    [
        ("/data/upload/1/a.png", "http://10.0.0.5:8080/data/upload/1/a.png"),
        ("data/local-files/?d=a.png", "http://10.0.0.5:8080/data/local-files/?d=a.png"),
        ("https://example.org/a.png", "https://example.org/a.png"),
        ("//example.org/a.png", "http://example.org/a.png"),
    ],
)
def test_a_picture_is_a_path_there_or_a_whole_url(picture: str, url: str) -> None:
    assert STUDIO.url_of(picture) == url


def test_paths_stay_below_an_address_with_a_path() -> None:
    studio = LabelStudio("https://example.org/studio", "")
    assert studio.url_of("data/a.png") == "https://example.org/studio/data/a.png"


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("http://10.0.0.5:8080/data/a.png", True),
        ("http://10.0.0.5:8080", True),
        ("https://10.0.0.5:8080/data/a.png", False),
        ("http://10.0.0.5/data/a.png", False),
        ("http://10.0.0.5:8081/a.png", False),
        ("http://10.0.0.5.example.org:8080/a.png", False),
        ("http://10.0.0.5:8080@example.org/a.png", False),
    ],
)
def test_the_token_goes_to_its_own_origin(url: str, goes: bool) -> None:
    assert STUDIO.authorization_for(url) == ("Token secret-token" if goes else None)


def test_the_ports_of_schemes_need_not_be_written() -> None:
    studio = LabelStudio("https://example.org", "t")
    assert studio.authorization_for("https://example.org:443/a.png") == "Token t"
    assert studio.authorization_for("http://example.org:443/a.png") is None


def test_without_a_token_there_is_no_header_and_none_is_printed() -> None:
    assert LabelStudio(STUDIO.hostname, "").authorization_for(STUDIO.hostname) is None
    assert "secret" not in repr(STUDIO)


@pytest.mark.parametrize("url", ["http://[::1", "http://10.0.0.5:port/a.png", "http://10.0.0.5:99999/"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(InvalidRequest, match="is no URL"):
        STUDIO.authorization_for(url)


def test_projects_belong_to_the_caller_who_set_them_up() -> None:
    projects = Projects()
    alice, bob = somebody("alice"), somebody("bob")
    projects[alice, "1.1"] = STUDIO
    assert projects.get((alice, "1.1")) is STUDIO
    assert projects.get((bob, "1.1")) is None
    assert projects.get((ANYBODY, "1.1")) is None
    other = LabelStudio("http://10.0.0.6", "")
    projects[alice, "1.1"] = other
    assert projects.get((alice, "1.1")) is other


def test_the_oldest_set_up_is_forgotten_first() -> None:
    projects = Projects()
    for index in range(MAX_PROJECTS):
        projects[ANYBODY, str(index)] = STUDIO
    projects[ANYBODY, "0"] = STUDIO
    projects[ANYBODY, "new"] = STUDIO
    assert projects.get((ANYBODY, "0")) is STUDIO
    assert projects.get((ANYBODY, "1")) is None
    assert projects.get((ANYBODY, "new")) is STUDIO
