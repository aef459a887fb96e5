"""Replicas that die under clients that don't pause: no request fails, no mask changes, and the server recovers."""

import os
import signal
import time

import pytest
from kills import WORKERS, kill_at_random, recovery_s, replica_counts
from real_server import RealServer
from siege import under_siege

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_deaths_of_replicas_cost_no_request_and_change_no_mask(demo_server: RealServer) -> None:
    server = demo_server
    before = replica_counts(server)
    with under_siege(server, seed=1) as siege:
        killed = kill_at_random(server, kills=3, seed=1, pauses_s=(0.5, 2))
        recovery_s(server, before)
        time.sleep(1)
    assert set(killed) == set(WORKERS)
    assert (siege.failed, siege.wrong) == ([], [])
    assert {reply.case.path for reply in siege.replies} == {"/segment", "/segment/auto"}


def test_the_death_of_the_ingress_fails_only_what_it_had_let_in(demo_server: RealServer) -> None:
    server = demo_server
    before = replica_counts(server)
    with under_siege(server, seed=2) as siege:
        time.sleep(1)
        killed = time.monotonic()
        os.kill(server.replicas("Ingress")[0], signal.SIGKILL)
        recovery_s(server, before)
        time.sleep(1)
    assert siege.wrong == []
    for reply in siege.failed:
        assert reply.began <= killed <= reply.ended, reply
        assert 500 <= reply.status < 600, reply
