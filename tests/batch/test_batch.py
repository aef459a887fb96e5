"""A batch on a real local Ray: both tables, a damaged file, a second run that does nothing, and an S3."""

import contextlib
import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from discs import PARAMETERS, draw_discs
from moto.server import ThreadedMotoServer
from pyarrow import fs
from real_server import descendants

from segmentation.weights.manifest import PROJECT_ROOT

KILLS = 20

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]


def command(source: object, output: object, *more: str) -> list[str]:
    options = ("--parameters", PARAMETERS, "--part", "2", *more)
    return [sys.executable, "-m", "commands", "batch", str(source), str(output), *options]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "SAM_MODEL_TYPE": "demo", "RAY_AUTH_MODE": "disabled", **more}


def run(source: object, output: object, *more: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(source, output, *more), cwd=PROJECT_ROOT, env=environment(**variables),
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip


def tables(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pictures and objects, in an order of their own, without what a run's clock says."""
    pictures = pd.read_parquet(output / "tables" / "pictures.parquet").drop(columns="seconds")
    objects = pd.read_parquet(output / "tables" / "objects.parquet")
    return (
        pictures.sort_values("path").reset_index(drop=True),
        objects.sort_values(["path", "id"]).reset_index(drop=True),
    )


@pytest.fixture(scope="module")
def undisturbed(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    done = run(discs, output, "--formats", "csv")
    assert done.returncode == 1, done.stderr  # one is damaged
    assert "6 pictures with" in done.stdout
    return output


def test_every_picture_is_in_both_tables_and_has_its_files(undisturbed: Path) -> None:
    pictures, objects = tables(undisturbed)
    assert pictures["path"].tolist() == ["broken.png", *(f"p{number}.png" for number in range(6))]
    assert pictures["status"].tolist() == ["failed", *["done"] * 6]
    assert "truncated or damaged" in pictures["error"][0]
    assert objects.groupby("path").size().to_dict() == {
        path: count for path, count in zip(pictures["path"], pictures["count"], strict=True) if count > 0
    }
    assert len(objects) >= 20
    assert {path.name for path in (undisturbed / "files").iterdir()} == {f"p{number}.csv" for number in range(6)}
    assert json.loads((undisturbed / "settings.json").read_text())["parameters"] == pictures["parameters"][0]


def test_a_second_run_does_nothing_and_other_parameters_are_refused(undisturbed: Path, discs: Path) -> None:
    before = tables(undisturbed)
    parts = sorted((undisturbed / "tables").rglob("*.parquet"))
    assert run(discs, undisturbed, "--formats", "csv").returncode == 1
    assert sorted((undisturbed / "tables").rglob("*.parquet")) == parts
    for one, other in zip(before, tables(undisturbed), strict=True):
        pd.testing.assert_frame_equal(one, other)
    refused = run(discs, undisturbed, "--preset", "none")
    assert refused.returncode == 2
    assert "results of other parameters" in refused.stderr


@pytest.mark.slow
def test_the_documented_command_runs(tmp_path: Path) -> None:
    document = (PROJECT_ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    found = next(line for line in document.splitlines() if line.startswith("sam-serve batch docs"))
    (tmp_path / "docs").symlink_to(PROJECT_ROOT / "docs", target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-m", "commands", *shlex.split(found)[1:]],
        cwd=tmp_path, env=environment(PYTHONPATH=str(PROJECT_ROOT)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(tables(tmp_path / "out")[0]) >= 5


@pytest.fixture
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.slow
def test_an_s3_as_input_and_output_gives_the_same(s3: str, undisturbed: Path, discs: Path, tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    options = f"endpoint_override={s3.removeprefix('http://')}&scheme=http&region=us-east-1"
    os.environ.update(keys)
    bucket, _ = fs.FileSystem.from_uri(f"s3://bucket?{options}&allow_bucket_creation=true")
    bucket.create_dir("bucket")
    fs.copy_files(str(discs), "bucket/in", destination_filesystem=bucket)
    done = run(f"s3://bucket/in?{options}", f"s3://bucket/out?{options}", "--formats", "csv", **keys)
    assert done.returncode == 1, done.stderr
    fs.copy_files("bucket/out", str(tmp_path / "out"), source_filesystem=bucket)
    for one, other in zip(tables(undisturbed), tables(tmp_path / "out"), strict=True):
        pd.testing.assert_frame_equal(one, other)
    for path in (undisturbed / "files").iterdir():
        assert (tmp_path / "out" / "files" / path.name).read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a folder of 60 pictures, the output of a run that nobody disturbs)."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(60):
        draw_discs(folder / f"p{number:02}.png", number)
    calm = tmp_path_factory.mktemp("calm") / "out"
    assert run(folder, calm).returncode == 0
    return folder, calm


def assert_equal(one: Path, other: Path) -> None:
    for expected, found in zip(tables(one), tables(other), strict=True):
        pd.testing.assert_frame_equal(expected, found)


@pytest.mark.slow
def test_killed_workers_cost_no_picture(many: tuple[Path, Path], tmp_path: Path) -> None:
    folder, calm = many
    killed = subprocess.Popen(command(folder, tmp_path / "out"), cwd=PROJECT_ROOT, env=environment())
    chance, kills = random.Random(0), 0
    while killed.poll() is None:
        time.sleep(chance.uniform(0.2, 3))
        workers = [pid for pid in descendants(killed.pid) if b"ray::MapWorker" in _title(pid)]
        if workers and kills < KILLS:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                kills += 1
    assert killed.returncode == 0
    assert kills == KILLS
    assert_equal(calm, tmp_path / "out")


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(many: tuple[Path, Path], tmp_path: Path) -> None:
    folder, calm = many
    stopped = subprocess.Popen(command(folder, tmp_path / "out"), cwd=PROJECT_ROOT, env=environment())
    parts = tmp_path / "out" / "tables" / "pictures.parquet"
    while stopped.poll() is None and len(list(parts.glob("*.parquet"))) < 4:
        time.sleep(0.1)
    for pid in descendants(stopped.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    stopped.wait()
    first = {path: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert run(folder, tmp_path / "out").returncode == 0
    kept = [path for path, changed in first.items() if path.exists() and path.stat().st_mtime_ns == changed]
    assert len(kept) >= 2  # all but those whose commit was under way
    assert_equal(calm, tmp_path / "out")


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
