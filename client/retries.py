"""When a request is sent again, and after how long. Knows no sockets.

Every request of this API may be repeated: an answer depends on the request alone, and nothing is stored but caches.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from client.errors import ConnectionFailed, SamError, Unavailable


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts after the first.

    attempts: how many, for one request.
    first_wait_s, longest_wait_s: the wait doubles from the first to the longest; half of each wait is random, so that
        many clients do not return at once. A `Retry-After` of the server takes its place, up to `longest_wait_s`.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0

    def wait_s(self, attempt: int, error: SamError) -> float | None:
        """Seconds before the next attempt, `attempt` counted from 0; None where another would not help."""
        if attempt >= self.attempts or not isinstance(error, ConnectionFailed | Unavailable):
            return None
        if isinstance(error, Unavailable) and error.retry_after_s is not None:
            return min(error.retry_after_s, self.longest_wait_s)
        return min(self.first_wait_s * 2.0**attempt, self.longest_wait_s) * random.uniform(0.5, 1.0)


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; None without one that can be read."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(0.0, (when - (now or datetime.now(timezone.utc))).total_seconds())
