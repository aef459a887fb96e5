"""What is sent again, after how long."""

from datetime import datetime, timezone

import pytest

from client.errors import ConnectionFailed, InvalidRequest, SamError, Unavailable
from client.retries import RetryPolicy, retry_after_s

POLICY = RetryPolicy(attempts=3, first_wait_s=1, longest_wait_s=3)


@pytest.mark.parametrize(
    ("attempt", "error", "low", "high"),
    [
        (0, Unavailable("busy", retry_after_s=2), 2, 2),
        (0, Unavailable("busy", retry_after_s=100), 3, 3),
        (0, Unavailable("busy"), 0.5, 1),
        (2, ConnectionFailed("gone"), 1.5, 3),
    ],
)
def test_the_wait(attempt: int, error: SamError, low: float, high: float) -> None:
    seconds = POLICY.wait_s(attempt, error)
    assert seconds is not None
    assert low <= seconds <= high


@pytest.mark.parametrize(("attempt", "error"), [(3, Unavailable("busy")), (0, InvalidRequest("wrong"))])
def test_no_further_attempt(attempt: int, error: SamError) -> None:
    assert POLICY.wait_s(attempt, error) is None


def test_retry_after_is_a_number_or_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)  # noqa: UP017
    assert retry_after_s("7") == 7
    assert retry_after_s("Thu, 01 Jan 2026 00:00:05 GMT", now) == 5
    assert retry_after_s("Thu, 01 Jan 2015 00:00:05 GMT", now) == 0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None
