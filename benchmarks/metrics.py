"""What metrics cost: prompts with and without them in one replica, in turn; and a scrape while the server is loaded.

The first part runs the whole graph on the demo model inside one replica of Ray Serve, where metrics have the tags that
they have in the server, and switches the report on and off round by round. Calls between deployments stay in the
process, so a request costs less than in the server, and the share of metrics is rather too large than too small. One
client shows what a request costs; with eight, a report also shifts how prompts meet in batches. A round ends when all
that it reported is counted, so that nothing of it falls into the next one, which is without. Rounds are short and many:
two that follow each other find the same machine.

The second part loads a server as `serve run` starts it, and reads what Prometheus reads, asking as it does, from every
node.

Bars: at most 1 % of the throughput, at most 50 ms a scrape.

    python -m benchmarks.metrics [--rounds 60] [--seconds 10]
"""

import argparse
import asyncio
import gzip
import json
import statistics
import time
import urllib.request
from collections import Counter
from typing import Any

import httpx2
import numpy as np
import ray
from ray import serve

from benchmarks.load_client import Request
from benchmarks.load_requests import photos, prompt_by_id, with_file
from benchmarks.load_server import Target, target
from benchmarks.report import finish, machine
from deployments.http.routes import create_app
from deployments.http.service import Service, ServiceConfig
from deployments.replicas.image_encoder import ImageEncoder
from deployments.replicas.mask_grid import MaskGridGenerator
from deployments.replicas.prompt_decoder import PromptDecoder
from deployments.settings.server import Settings
from deployments.sizing import Cluster, size_graph
from deployments.telemetry.events import Event
from deployments.telemetry.ray_metrics import open_ray_metrics
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.select import plan_runtime

CLIENTS = 8
REQUESTS = 40
SCRAPE_PAUSE_S = 0.5
AS_PROMETHEUS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}


class Neighbour:
    """A deployment in this process, as the ingress sees others (`RemoteDeployment`)."""

    def __init__(self, name: str, replica: object) -> None:
        self.name = name
        self._replica = replica

    def call(self, method: str, *args: object, key: str = "") -> "asyncio.Task[Any]":
        return asyncio.create_task(self._run(method, args))

    async def broadcast(self, method: str, *, timeout_s: float) -> list[Any]:
        return [await getattr(self._replica, method)()]

    async def _run(self, method: str, args: tuple[object, ...]) -> Any:
        given = [await argument if isinstance(argument, asyncio.Task) else argument for argument in args]
        return await getattr(self._replica, method)(*given)


class Switch:
    """A report that can be turned off."""

    def __init__(self) -> None:
        self._report = open_ray_metrics("demo")
        self.on = True

    def __call__(self, event: Event) -> None:
        if self.on:
            self._report(event)

    def settle(self) -> None:
        """Counts what was reported, if anything was."""
        if self.on:
            self._report.flush()


class Bench:
    """A replica with the whole graph in it."""

    def __init__(self) -> None:
        settings = Settings(model_type="demo", backend="onnx", threads=1)
        plan = plan_runtime(settings, download=False)
        self._switch = Switch()
        parts = {
            ImageEncoder: {"max_batch": 4, "cache_mb": 512.0},
            PromptDecoder: {"max_batch": settings.decoder_batch},
            MaskGridGenerator: {},
        }
        peers = []
        for part, limits in parts.items():
            opener: Any = open_encoder if part is ImageEncoder else open_decoder
            replica = part(
                lambda opener=opener: opener(plan, device="cpu", threads=1),
                device="cpu",
                open_ray_metrics=lambda: self._switch,
                **limits,
            )
            peers.append(Neighbour(part.__name__, replica))
        sources = dict.fromkeys(Settings.__slots__, "default")
        config = ServiceConfig(settings, sources, plan, size_graph(settings, Cluster(2, 0, 2)))
        transport = httpx2.ASGITransport(create_app(Service(config, *peers, self._switch)))
        self._client = httpx2.AsyncClient(transport=transport, base_url="http://bench", timeout=120)

    async def compare(self, rounds: int, clients: int) -> dict[str, list[float]]:
        """Seconds that as many requests took, with metrics and without, round by round."""
        photo = photos()[0]
        rng = np.random.default_rng(0)
        upload = with_file("/embeddings", photo, {})
        image_id = (await self._send(upload))["image_id"]
        requests = [prompt_by_id(image_id, photo.size, rng) for _ in range(REQUESTS)]
        seconds: dict[str, list[float]] = {"on": [], "off": []}
        for number in range(rounds + 1):
            for name in ("on", "off") if number % 2 else ("off", "on"):
                self._switch.on = name == "on"
                took = await self._round(requests, clients)
                if number:  # the first warms up
                    seconds[name].append(took)
        return seconds

    async def _round(self, requests: list[Request], clients: int) -> float:
        waiting = iter(requests)
        started = time.perf_counter()

        async def one() -> None:
            for request in waiting:
                await self._send(request)

        await asyncio.gather(*(one() for _ in range(clients)))
        self._switch.settle()
        return time.perf_counter() - started

    async def _send(self, request: Request) -> Any:
        headers = {"content-type": request.content_type}
        answer = await self._client.post(request.path, content=request.body, headers=headers)
        answer.raise_for_status()
        return answer.json()


def throughput(rounds: int) -> dict[str, object]:
    """Requests a second with metrics and without, and the share that metrics take."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        handle = serve.run(serve.deployment(Bench).bind(), name="bench", route_prefix=None)
        seconds = {clients: handle.compare.remote(rounds, clients).result() for clients in (1, CLIENTS)}
    finally:
        serve.shutdown()
        ray.shutdown()
    return {f"clients_{clients}": _share(taken) for clients, taken in seconds.items()}


def _share(seconds: dict[str, list[float]]) -> dict[str, object]:
    shares = [1 - off / on for on, off in zip(seconds["on"], seconds["off"], strict=True)]
    return {
        "requests_per_s": {name: round(REQUESTS / statistics.median(taken), 1) for name, taken in seconds.items()},
        "share_percent": round(100 * statistics.median(shares), 2),
        "share_percent_error": round(100 * statistics.stdev(shares) / len(shares) ** 0.5, 2),
        "rounds": len(shares),
    }


async def scrapes(seconds: float) -> dict[str, object]:
    """Milliseconds of scrapes of every address that Ray lists, while clients ask for prompts."""
    async with target() as loaded:
        photo = photos()[0]
        rng = np.random.default_rng(0)
        encoded = await loaded.client.send(with_file("/embeddings", photo, {}), keep=True)
        image_id = json.loads(encoded.body)["image_id"]
        load = asyncio.create_task(
            loaded.client.closed(lambda: prompt_by_id(image_id, photo.size, rng), CLIENTS, seconds=seconds)
        )
        taken: dict[str, list[float]] = {}
        series: dict[str, Counter[str]] = {}
        while not load.done():
            await asyncio.sleep(SCRAPE_PAUSE_S)
            for address in addresses(loaded):
                took, series[address] = await asyncio.to_thread(scrape, address)
                taken.setdefault(address, []).append(took)
        run = await load
    slowest = max(taken, key=lambda address: statistics.median(taken[address]))
    milliseconds = [1000 * one for one in taken[slowest]]
    return {
        "requests_per_s": round(run.per_s, 1),
        "statuses": {str(status): count for status, count in run.statuses.items()},
        "addresses": len(taken),
        "scrapes": len(milliseconds),
        "median_ms": round(statistics.median(milliseconds), 1),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 1),
        "series": series[slowest],
    }


def addresses(loaded: Target) -> list[str]:
    """What Prometheus is told to scrape."""
    listed = json.loads((loaded.ray_folder / "ray" / "prom_metrics_service_discovery.json").read_text())
    return [address for group in listed for address in group["targets"]]


def scrape(address: str) -> tuple[float, Counter[str]]:
    """Reads the metrics once, as Prometheus does: (seconds until all was read, series by whose they are)."""
    started = time.perf_counter()
    request = urllib.request.Request(f"http://{address}/metrics", headers=AS_PROMETHEUS)
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()
    took = time.perf_counter() - started
    lines = gzip.decompress(body).decode().splitlines()
    owners = {"ray_sam_": "ours", "ray_serve_": "Ray Serve"}
    names = [next((who for start, who in owners.items() if line.startswith(start)), "Ray") for line in lines]
    return took, Counter(name for name, line in zip(names, lines, strict=True) if not line.startswith("#"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=10.0, help="of load while scraping")
    options = parser.parse_args()
    result: dict[str, object] = {"machine": machine(1)}
    result["throughput"] = throughput(options.rounds)
    print(result["throughput"], flush=True)
    result["scrape"] = asyncio.run(scrapes(options.seconds))
    finish("metrics", result)


if __name__ == "__main__":
    main()
