"""What is a picture, and that no two results share a name."""

from hypothesis import given
from hypothesis import strategies as st

from batch.names import is_picture, readable, result_names

PATHS = st.lists(st.text("aAbB./", min_size=1, max_size=6).map(lambda text: f"x/{text}y.png"), max_size=12, unique=True)


def test_names_are_as_short_as_they_can_be() -> None:
    assert result_names(["a.png", "b.tif"]) == ["a", "b"]
    assert result_names(["a.png", "a.tif", "b.png"]) == ["a.png", "a.tif", "b"]
    assert result_names(["x/a.png", "y/a.png"]) == ["x_a.png", "y_a.png"]
    assert result_names(["a.png", "A.png"]) == ["a.png", "A.png~2"]
    assert result_names([]) == []


@given(PATHS)
def test_no_two_are_equal_where_case_does_not_count(paths: list[str]) -> None:
    names = [name.casefold() for name in result_names(paths)]
    assert len(set(names)) == len(names)


def test_pictures_by_their_endings() -> None:
    assert is_picture("a.PNG")
    assert is_picture("deep/b.tiff")
    assert not is_picture(".hidden.png")
    assert not is_picture("notes.txt")


def test_names_that_are_no_utf8_can_be_written_to_files() -> None:
    readable("caf\udce9.png").encode()
