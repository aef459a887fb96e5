"""Downloads against a real server on the loopback interface that misbehaves on purpose."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Answer, FileServer, serving

from segmentation.weights.download import CHUNK, PartialFile, ProgressLog, fetch
from segmentation.weights.https import DownloadError, open_url

CONTENT = random.Random(0).randbytes(3 * CHUNK + 17)
HALF = len(CONTENT) // 2
AT_ONCE = (0.0, 0.0, 0.0)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(CONTENT) as files:
        yield files


@pytest.fixture
def part(tmp_path: Path) -> PartialFile:
    return PartialFile(tmp_path / "weights.pth.part")


def test_whole_file(server: FileServer, part: PartialFile) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(server.url, part, size=len(CONTENT), progress=lambda done, total: seen.append((done, total)))
    assert part.path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_size_is_learned_from_the_server(server: FileServer, part: PartialFile) -> None:
    seen: list[int | None] = []
    fetch(server.url, part, progress=lambda _, total: seen.append(total))
    assert part.path.read_bytes() == CONTENT
    assert set(seen) == {len(CONTENT)}


def test_body_that_ends_with_the_connection(server: FileServer, part: PartialFile) -> None:
    server.otherwise = Answer(says_length=False)
    fetch(server.url, part)
    assert part.path.read_bytes() == CONTENT


def test_short_body_without_length_is_noticed_by_the_known_size(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(says_length=False, cut=HALF)]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE)
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [Answer(cut=HALF), Answer(status=503), Answer(status=429)])
def test_fault_is_retried(server: FileServer, part: PartialFile, fault: Answer) -> None:
    server.answers = [fault]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE)
    assert part.path.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_resumes_where_it_stopped(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(cut=HALF)]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE)
    assert server.asked == [(None, None), (f"bytes={HALF}-", server.etag)]


def test_resumes_in_a_later_call(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(cut=HALF)]
    with pytest.raises(
        DownloadError, match=f"closed after {HALF} of {len(CONTENT)} bytes; attempts without progress: 1"
    ):
        fetch(server.url, part, size=len(CONTENT), retry_waits_s=())
    fetch(server.url, PartialFile(part.path), size=len(CONTENT), retry_waits_s=())
    assert part.path.read_bytes() == CONTENT
    assert server.asked[-1][0] == f"bytes={HALF}-"


def test_progress_resets_the_count_of_failures(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(cut=CHUNK)] * 3
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=(0.0,))
    assert part.path.read_bytes() == CONTENT


def test_server_that_ignores_ranges_and_always_breaks_is_given_up(server: FileServer, part: PartialFile) -> None:
    server.otherwise = Answer(cut=HALF, ranges=False)
    with pytest.raises(DownloadError, match="attempts without progress: 4"):
        fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE)


def test_server_that_ignores_ranges_starts_over(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(cut=HALF), Answer(ranges=False)]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE)
    assert part.path.read_bytes() == CONTENT


def test_file_that_changed_starts_over(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(cut=HALF)]
    with pytest.raises(DownloadError):
        fetch(server.url, part, size=len(CONTENT), retry_waits_s=())
    server.content = CONTENT[::-1]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=())
    assert part.path.read_bytes() == CONTENT[::-1]


def test_without_a_validator_it_starts_over(server: FileServer, part: PartialFile) -> None:
    server.has_etag = False
    server.answers = [Answer(cut=HALF)]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE)
    assert part.path.read_bytes() == CONTENT
    assert server.asked == [(None, None), (None, None)]


def test_part_longer_than_the_servers_file_starts_over(server: FileServer, part: PartialFile) -> None:
    part.begin(server.etag)
    part.path.write_bytes(CONTENT + b"more")
    fetch(server.url, part, retry_waits_s=AT_ONCE)
    assert part.path.read_bytes() == CONTENT


def test_complete_part_asks_nothing(server: FileServer, part: PartialFile) -> None:
    part.begin(server.etag)
    part.path.write_bytes(CONTENT)
    fetch(server.url, part, size=len(CONTENT))
    assert server.asked == []


def test_file_of_another_size_is_refused_at_once(server: FileServer, part: PartialFile) -> None:
    with pytest.raises(DownloadError, match=f"has {len(CONTENT)} bytes, not 5"):
        fetch(server.url, part, size=5, retry_waits_s=AT_ONCE)
    assert len(server.asked) == 1


def test_not_found_is_not_retried(server: FileServer, part: PartialFile) -> None:
    server.otherwise = Answer(status=404)
    with pytest.raises(DownloadError, match="404"):
        fetch(server.url, part, retry_waits_s=AT_ONCE)
    assert len(server.asked) == 1


def test_silence_is_a_fault(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(silent_s=30)]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=AT_ONCE, timeout_s=0.2)
    assert part.path.read_bytes() == CONTENT


def test_too_small_disk_is_noticed_before_asking(server: FileServer, part: PartialFile) -> None:
    with pytest.raises(DownloadError, match="free"):
        fetch(server.url, part, size=10**18)
    assert server.asked == []


def test_too_small_disk_is_noticed_when_the_server_tells_the_size(server: FileServer, part: PartialFile) -> None:
    server.otherwise = Answer(claims=10**18)
    with pytest.raises(DownloadError, match="free"):
        fetch(server.url, part)


@pytest.mark.parametrize("url", ["http://example.com/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_only_https_or_loopback(part: PartialFile, url: str) -> None:
    with pytest.raises(DownloadError, match="not an https address"):
        fetch(url, part)


def test_redirect_is_followed(server: FileServer, part: PartialFile) -> None:
    server.answers = [Answer(status=302, location=server.url)]
    fetch(server.url, part, size=len(CONTENT), retry_waits_s=())
    assert part.path.read_bytes() == CONTENT


def test_redirect_away_from_https_is_refused(server: FileServer) -> None:
    server.answers = [Answer(status=302, location="http://example.com/x")]
    with pytest.raises(DownloadError, match=r"example\.com/x is not an https address"):
        open_url(server.url, {}, 1.0)


def test_progress_log_has_one_line_a_twentieth(caplog: pytest.LogCaptureFixture) -> None:
    seconds = iter(range(1000))
    log = ProgressLog("weights.pth", clock=lambda: next(seconds) / 100)
    with caplog.at_level("INFO"):
        for done in range(0, 1_000_001, 2_000):
            log(done, 1_000_000)
    assert len(caplog.messages) == 20
    assert caplog.messages[0] == "downloading weights.pth: 50000 of 1000000 bytes (5 %), 0.2 MB/s"


def test_progress_log_speaks_every_ten_seconds_of_a_slow_or_unmeasured_download(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = iter(range(1000))
    log = ProgressLog("weights.pth", clock=lambda: float(next(seconds)))
    with caplog.at_level("INFO"):
        for done in range(31):
            log(done, None)
    assert len(caplog.messages) == 3
