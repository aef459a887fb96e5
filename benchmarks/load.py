"""Load on a real server: how quickly prompts are answered, what concurrency gives, what happens over capacity.

Each part starts the demo model on ONNX Runtime as `serve run` does, on a Ray cluster of its own, and states its figures
beside the bar they are held to. Parts that were run replace theirs in `benchmarks/results/load.json`; the rest of the
file stays.

    interactive  a prompt on a held picture against a graph of the same hops without work, and the decode alone
    concurrent   64 clients on eight pictures against one at a time
    batching     how full the encoder's batches are under saturation, and what a lone picture waits
    grid         prompts beside a grid of the quality profile
    overload     ten times more prompts than can be answered, for 60 s
    soak         20,000 prompts on 200 pictures: memory
    kills        replicas of every kind killed at random under prompts and grids
    ingress      the same of the ingress
    node         the same of one of three nodes of a simulated cluster

    python -m benchmarks.load [PART ...]
"""

import argparse
import json
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks.load_faults import ingress, kills, node
from benchmarks.load_latency import batching, beside_a_grid, concurrent, interactive
from benchmarks.load_pressure import overload, soak
from benchmarks.load_server import Target, target
from benchmarks.report import RESULTS, finish, machine
from deployments.sizing import cluster_of

ON_ONE_SERVER: dict[str, Callable[[Target], Awaitable[dict[str, object]]]] = {
    "interactive": interactive,
    "concurrent": concurrent,
    "batching": batching,
    "grid": beside_a_grid,
    "overload": overload,
    "soak": soak,
}
FAULTS: dict[str, Callable[[], dict[str, object]]] = {"kills": kills, "ingress": ingress, "node": node}
PARTS = (*ON_ONE_SERVER, *FAULTS)


async def on_one_server(name: str) -> dict[str, object]:
    """A part that brings its own clients and no deaths."""
    async with target(noop=name == "interactive") as server:
        return await ON_ONE_SERVER[name](server)


def run(name: str) -> dict[str, object]:
    """One part's figures, with the machine they were taken on."""
    of, started = machine(int(cluster_of({}).cpus)), time.monotonic()
    figures = FAULTS[name]() if name in FAULTS else uvloop.run(on_one_server(name))
    return {"machine": of, "seconds": round(time.monotonic() - started), **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    names = parser.parse_args().parts or PARTS
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    missed = []
    for name in names:
        figures = run(name)
        kept = RESULTS / "load.json"
        parts = json.loads(kept.read_text())["parts"] if kept.is_file() else {}
        finish("load", {"model": "demo", "backend": "onnx", "parts": parts | {name: figures}})
        missed += [] if figures["met"] else [name]
    if missed:
        print(f"bars missed: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
