"""A user without a home folder has a token all the same."""

from pathlib import Path

import pytest

from deployments.ray_token import prepare_token

LOCAL = ("--address", "local")


@pytest.mark.parametrize(
    ("arguments", "given", "home", "made"),
    [
        (LOCAL, {}, "missing", True),
        (LOCAL, {}, "there", False),
        (LOCAL, {"RAY_AUTH_TOKEN_PATH": "/run/token"}, "missing", False),
        (LOCAL, {"RAY_AUTH_MODE": "disabled"}, "missing", False),
        (("--address", "auto"), {}, "missing", False),
    ],
)
def test_a_token_is_made_where_none_can_be_kept(
    arguments: tuple[str, ...],
    given: dict[str, str],
    home: str,
    made: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / ("file" if home == "missing" else "there")))
    environ = dict(given)
    prepare_token(arguments, environ)
    assert ("RAY_AUTH_TOKEN" in environ) == made
    assert len(environ.get("RAY_AUTH_TOKEN", "x" * 64)) == 64
