"""A server whose processes are killed, stopped or starved: what is noticed, said and replaced, on a real cluster."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from real_server import RealServer, serving
from waiting import wait_until

from segmentation.weights.manifest import PROJECT_ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

COINS = (PROJECT_ROOT / "docs" / "images" / "coins.png").read_bytes()
NOTICED_S = 35
"""30 s, and what it takes to stop Ray."""


@contextmanager
def ready(folder: Path) -> Iterator[RealServer]:
    with serving(folder, {"SAM_MODEL_TYPE": "demo"}) as server:
        wait_until(lambda: "ready: every application runs" in server.log.read_text(), 60)
        yield server


def pid_of(server: RealServer, part: str) -> int:
    return next(pid for pid, command in server.processes().items() if part in command)


@pytest.mark.parametrize(
    ("victim", "reason"),
    [
        ("raylet/raylet", "Ray's raylet is gone"),
        pytest.param("ray::DashboardAgent", "Ray's raylet is gone", marks=pytest.mark.slow),
        pytest.param("gcs_server", "Ray's gcs_server is gone", marks=pytest.mark.slow),
    ],
)
def test_a_server_without_ray_ends_and_says_why(tmp_path: Path, victim: str, reason: str) -> None:
    with ready(tmp_path) as server:
        os.kill(pid_of(server, victim), signal.SIGKILL)
        assert server.process.wait(NOTICED_S) == 1
        assert reason in server.log.read_text()


@pytest.mark.slow
def test_a_server_that_is_silent_ends_and_says_why(tmp_path: Path) -> None:
    """Its controller and its ingress are stopped: nobody says that they are gone."""
    with ready(tmp_path) as server:
        for part in ("ray::ServeController", "ray::ServeReplica:sam:Ingress"):
            os.kill(pid_of(server, part), signal.SIGSTOP)
        assert server.process.wait(NOTICED_S + 10) == 1
        assert "Serve's controller has given no answer" in server.log.read_text()


@pytest.mark.slow
def test_one_signal_ends_a_server_whose_controller_is_stopped(tmp_path: Path) -> None:
    with ready(tmp_path) as server:
        os.kill(pid_of(server, "ray::ServeController"), signal.SIGSTOP)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(90) in {0, 1}


def test_a_decoder_without_memory_is_replaced_and_ray_listens_on_loopback(tmp_path: Path) -> None:
    with ready(tmp_path) as server, server.client() as client:
        for pid, command in server.processes().items():
            reachable = [address for address in addresses(pid) if not ip_address(address).is_loopback]
            # Serve opens a port for calls between deployments on every address.
            assert len(reachable) <= int(command.startswith("ray::ServeReplica")), command
        image_id = client.post("/embeddings", files={"image": COINS}).json()["image_id"]
        request = {"image_id": image_id, "prompts": [{"points": [[140, 52]]}] * 16, "return_logits": True}
        assert client.post("/segment", json=request).status_code == 200
        (pid,) = server.replicas("PromptDecoder")
        used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * 4096
        resource.prlimit(pid, resource.RLIMIT_AS, (used, used))
        statuses = []
        ends = time.monotonic() + 120
        while time.monotonic() < ends and (not statuses or server.replicas("PromptDecoder") == [pid]):
            statuses.append(client.post("/segment", json=request).status_code)
        wait_until(lambda: server.replicas("PromptDecoder") not in ([], [pid]), 60)
        wait_until(lambda: client.post("/segment", json=request).status_code == 200, 60)
        assert set(statuses) <= {200, 503}


def addresses(pid: int) -> list[str]:
    """The addresses that the process listens on, over TCP."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = str(handle.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(_address(fields[1].partition(":")[0]))
    return found


def _address(text: str) -> str:
    """Of the kernel's hexadecimal words, each in the order of this machine."""
    packed = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    address = ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
