"""How many replicas a deployment has: it may follow the load, so it is asked now and then. Knows no Ray."""

import asyncio
import time

from deployments.calls.remote import RemoteDeployment

FRESH_S = 10.0
PATIENCE_S = 1.0


class ReplicaCount:
    """The replicas of one deployment.

    Work is cut for at least the number that was planned: a deployment that follows the load grows only if it is given
    more than it can do now.

    Args:
        peer: the deployment.
        planned: by the builder; the upper end where replicas follow the load.
    """

    def __init__(self, remote: RemoteDeployment, planned: int) -> None:
        self._peer = remote
        self._planned = planned
        self._found = 0
        self._asked_at = -FRESH_S
        self._asking = asyncio.Lock()

    async def get(self) -> int:
        """The replicas that answer, or those planned if these are more; at most ten seconds old."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= FRESH_S:
                self._found = len(await self._peer.broadcast("describe", timeout_s=PATIENCE_S))
                self._asked_at = time.monotonic()
        return max(self._found, self._planned)
