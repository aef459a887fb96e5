"""Listing and writing on this machine's disk."""

import os
from pathlib import Path

import pytest

from batch.storage import list_pictures, place
from segmentation.errors import InvalidRequest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.png", "b.jpg", "deep/c.tif", "deep/er/d.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["a.png", "b.jpg", "deep/c.tif", "deep/er/d.png"]),
        ("/*.png", ["a.png"]),
        ("/**/*.png", ["a.png", "deep/er/d.png"]),
        ("/deep/*", ["c.tif"]),
        ("/[ab].*", ["a.png", "b.jpg"]),
        ("/b.jpg", ["b.jpg"]),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_folders_globs_and_files(tree: Path, pattern: str, names: list[str], scheme: str) -> None:
    root, found = list_pictures(f"{scheme}{tree}{pattern}")
    assert found == names
    assert root.join(found[0]).read() == b"x"


def test_links_in_circles_and_names_that_are_no_utf8(tree: Path) -> None:
    (tree / "deep" / "up").symlink_to(tree, target_is_directory=True)
    (tree / "out").symlink_to(tree.parent, target_is_directory=True)
    (tree / "itself.png").symlink_to("itself.png")
    os.mkfifo(tree / "pipe.png")
    (tree / "deep" / "twin").symlink_to(tree / "deep" / "er", target_is_directory=True)
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9.png")).write_bytes(b"x")
    root, found = list_pictures(str(tree))
    assert "deep/twin/d.png" in found
    assert "caf\udce9.png" in found
    assert not any("up" in name or "out" in name or "pipe" in name for name in found)
    assert "itself.png" in found  # reading it says what is wrong
    assert root.join("caf\udce9.png").read() == b"x"


@pytest.mark.parametrize("given", ["nowhere", "nothing://bucket/folder", "*.nothing"])
def test_nothing_there(tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest):
        list_pictures(given)


def test_writing_leaves_whole_files_only(tmp_path: Path) -> None:
    target = place(str(tmp_path)).join("new", "file")
    target.write(b"data")
    target.write(b"again")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert target.read() == b"again"
