"""Runs tools' real clients against a server, checks their masks against `/segment`, and records what they sent.

    python scripts/record_clients [--server URL] [--only NAME ...] [--record]

Each client is installed from PyPI or npm into an environment of its own under `.clients/`. Without --server a server is
started on the demo model. --record writes `tests/deployments/http/protocols/recorded/`, with the picture's bytes and
keys replaced by names. Exit status: 0 every client got the masks, 1 some did not, 2 one could not be installed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import skimage.data
from checks import CLIENTS, Client
from PIL import Image
from proxy import Recorder

ROOT = Path(__file__).resolve().parents[2]
DRIVERS = Path(__file__).resolve().parent / "drivers"
RECORDED = ROOT / "tests" / "deployments" / "http" / "protocols" / "recorded"
LIMIT_S = 900
NOT_INSTALLED = "could not be installed"


@dataclass(frozen=True)
class Outcome:
    """What came of one client. problem: empty if it got its masks."""

    name: str
    version: str
    says: str
    problem: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", help="address of a running server; one is started by default")
    parser.add_argument("--only", nargs="+", choices=sorted(CLIENTS), default=sorted(CLIENTS), metavar="NAME")
    parser.add_argument("--record", action="store_true", help="write what the clients sent into the tests")
    parser.add_argument("--folder", type=Path, default=ROOT / ".clients", help="where clients are installed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clients") as scratch:
        picture = Path(scratch) / "coins.png"
        Image.fromarray(skimage.data.coins()).save(picture)
        if given.server:
            outcomes = [_run(CLIENTS[name], given, given.server, picture) for name in given.only]
        else:
            sys.path.append(str(ROOT))
            sys.path.append(str(ROOT / "tests" / "support"))
            from real_server import serving  # noqa: PLC0415

            variables = {
                "SAM_MODEL_TYPE": "demo",
                "SAM_IMAGE_URL_ORIGINS": "http://127.0.0.1:5185",
                "RAY_raylet_start_wait_time_s": "120",  # a machine that is busy otherwise
            }
            with serving(Path(scratch), variables) as server:
                outcomes = [_run(CLIENTS[name], given, server.url, picture) for name in given.only]
    for outcome in outcomes:
        print(f"{outcome.name} {outcome.version}: {outcome.problem or 'ok'} {outcome.says}")
    print(json.dumps({outcome.name: not outcome.problem for outcome in outcomes}))
    if any(outcome.problem.startswith(NOT_INSTALLED) for outcome in outcomes):
        return 2
    return int(any(outcome.problem for outcome in outcomes))


def _run(client: Client, given: argparse.Namespace, server: str, picture: Path) -> Outcome:
    print(f"== {client.name}: {' '.join(client.packages)}", flush=True)
    folder = given.folder / client.name
    try:
        version = _install(client, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        return Outcome(client.name, "", "", f"{NOT_INSTALLED}: {error}")
    out = picture.with_name(f"{client.name}.answer")
    with Recorder(server, picture.read_bytes()) as recorder:
        command = client.command(folder, DRIVERS, recorder.url, picture, out)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=LIMIT_S, env=_environment(), check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(client.name, version, "", f"did not end within {LIMIT_S} s")
        if done.returncode:
            return Outcome(client.name, version, "", f"failed: {(done.stderr or done.stdout)[-2000:]}")
        if given.record and client.is_recorded:
            RECORDED.mkdir(exist_ok=True)
            (RECORDED / f"{client.name}.json").write_text(recorder.text())
    with httpx.Client(base_url=server, timeout=LIMIT_S, trust_env=False) as own:
        try:
            says = client.check(own, picture.read_bytes(), out, recorder)
        except AssertionError as wrong:
            return Outcome(client.name, version, "", f"wrong: {wrong}")
    return Outcome(client.name, version, says)


def _install(client: Client, folder: Path) -> str:
    """Installs the client unless it is there; its version.

    Raises:
        OSError, CalledProcessError: a command is missing, or failed.
    """
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text().splitlines()[0] != " ".join(client.packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for command in client.installation(folder):
            subprocess.run(command, cwd=folder, check=True)
        stamp.write_text(f"{' '.join(client.packages)}\n{client.installed_version(folder)}")
    return stamp.read_text().splitlines()[1]


def _environment() -> dict[str, str]:
    """This process's, without settings of its Python and proxies: everything is on this machine."""
    dropped = {"PYTHONPATH", "VIRTUAL_ENV", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


if __name__ == "__main__":
    sys.exit(main())
