"""Checkpoint files that are whole, missing, damaged, or on their way from a server."""

import hashlib
import logging
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Answer, FileServer, serving
from oracle import TINY

from segmentation.errors import ModelFileError
from segmentation.weights.checkpoints import ensure_checkpoint, find_checkpoint, sha256_file, verify_checkpoint
from segmentation.weights.manifest import PROJECT_ROOT, ModelSpec

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
UNREACHABLE = "http://127.0.0.1:9/weights.pth"

DOWNLOADER = """
import pathlib, sys
from segmentation.weights.checkpoints import ensure_checkpoint
from segmentation.weights.architecture import VitArchitecture
from segmentation.weights.manifest import ModelSpec
spec = ModelSpec("tiny", VitArchitecture(128, 32, 3, 2, (1,)), "weights.pth", url=sys.argv[1])
ensure_checkpoint(spec, pathlib.Path(sys.argv[2]))
"""


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as files:
        yield files


def spec_of(url: str | None = None, *, size: int | None = len(CONTENT), sha256: str | None = SHA256) -> ModelSpec:
    return ModelSpec("tiny", TINY, "weights.pth", url=url, bytes=size, sha256=sha256)


def test_sha256_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_find_looks_at_presence_and_size(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    assert find_checkpoint(spec_of(), tmp_path) is None
    path.write_bytes(CONTENT[:-1])
    assert find_checkpoint(spec_of(), tmp_path) is None
    assert find_checkpoint(spec_of(size=None), tmp_path) == path
    path.write_bytes(CONTENT)
    assert find_checkpoint(spec_of(), tmp_path) == path


def test_verify_passes_the_right_file_and_a_file_nothing_is_known_of(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENT)
    verify_checkpoint(spec_of(), path)
    verify_checkpoint(spec_of(sha256=SHA256.upper()), path)
    path.write_bytes(b"anything")
    verify_checkpoint(spec_of(size=None, sha256=None), path)


def test_verify_refuses_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(
        ModelFileError, match="299999 bytes, tiny has 300000; delete it, or put the right file"
    ) as caught:
        verify_checkpoint(spec_of(), path)
    assert "\n" not in caught.value.message


def test_verify_refuses_one_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(ModelFileError, match=f"tiny has {SHA256}; delete it"):
        verify_checkpoint(spec_of(), path)


def test_verify_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"can't read .*gone\.pth: No such file"):
        verify_checkpoint(spec_of(), tmp_path / "gone.pth")


def test_ensure_returns_a_present_file_without_asking(tmp_path: Path, server: FileServer) -> None:
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    assert ensure_checkpoint(spec_of(server.url), tmp_path) == tmp_path / "weights.pth"
    assert server.asked == []


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[::-1]], ids=["truncated", "tampered"])
def test_ensure_never_replaces_a_wrong_file(tmp_path: Path, server: FileServer, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="delete it"):
        ensure_checkpoint(spec_of(server.url), tmp_path)
    assert path.read_bytes() == content
    assert server.asked == []


def test_ensure_downloads_into_a_new_folder(tmp_path: Path, server: FileServer) -> None:
    path = ensure_checkpoint(spec_of(server.url), tmp_path / "new" / "model")
    assert path.read_bytes() == CONTENT
    assert {file.name for file in path.parent.iterdir()} == {"weights.pth", "weights.pth.lock"}


def test_ensure_resumes_an_interrupted_download(tmp_path: Path, server: FileServer) -> None:
    server.answers = [Answer(cut=100_000)]
    with pytest.raises(ModelFileError, match="closed after 100000 of 300000 bytes"):
        ensure_checkpoint(spec_of(server.url), tmp_path, retry_waits_s=())
    assert not (tmp_path / "weights.pth").exists()
    ensure_checkpoint(spec_of(server.url), tmp_path, retry_waits_s=())
    assert (tmp_path / "weights.pth").read_bytes() == CONTENT
    assert server.asked[-1][0] == "bytes=100000-"


def test_ensure_deletes_a_download_with_another_checksum(tmp_path: Path, server: FileServer) -> None:
    server.content = CONTENT[::-1]
    with pytest.raises(ModelFileError, match=r"SHA-256 .* it was deleted; start again"):
        ensure_checkpoint(spec_of(server.url), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"weights.pth.lock"}


def test_without_a_network_one_line_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        ensure_checkpoint(spec_of(UNREACHABLE), tmp_path, retry_waits_s=())
    message = caught.value.message
    assert "\n" not in message
    for fact in ("Connection refused", UNREACHABLE, str(tmp_path / "weights.pth"), "300000 bytes", SHA256):
        assert fact in message


def test_without_permission_to_download_the_same_facts_are_given(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(ModelFileError, match=f"missing; put the file there: {server.url} -> .*{SHA256}"):
        ensure_checkpoint(spec_of(server.url), tmp_path, download=False)
    assert server.asked == []


def test_model_without_url(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"weights\.pth is missing and the manifest has no url for it"):
        ensure_checkpoint(spec_of(), tmp_path)


def test_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file where the folder should be")
    with pytest.raises(ModelFileError, match=r"can't download weights\.pth"):
        ensure_checkpoint(spec_of(UNREACHABLE), tmp_path / "model")


def test_too_small_disk(tmp_path: Path, server: FileServer) -> None:
    with pytest.raises(ModelFileError, match="free"):
        ensure_checkpoint(spec_of(server.url, size=10**18), tmp_path)
    assert server.asked == []


def test_progress_is_told(tmp_path: Path, server: FileServer) -> None:
    seen: list[tuple[int, int | None]] = []
    ensure_checkpoint(spec_of(server.url), tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (300_000, 300_000)


def test_of_four_that_start_at_once_one_downloads(
    tmp_path: Path, server: FileServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.otherwise = Answer(silent_s=0.3)
    results: list[bytes] = []

    def start() -> None:
        results.append(ensure_checkpoint(spec_of(server.url), tmp_path).read_bytes())

    threads = [threading.Thread(target=start) for _ in range(4)]
    with caplog.at_level(logging.INFO):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == [CONTENT] * 4
    assert len(server.asked) == 1
    assert "another process is downloading weights.pth; waiting for it" in caplog.messages


def test_another_process_that_dies_while_downloading_does_not_block_the_next(
    tmp_path: Path, server: FileServer
) -> None:
    server.answers = [Answer(silent_s=60)]
    child = subprocess.Popen([sys.executable, "-c", DOWNLOADER, server.url, str(tmp_path)], cwd=PROJECT_ROOT)
    while not server.asked:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert ensure_checkpoint(spec_of(server.url), tmp_path).read_bytes() == CONTENT
