"""Trains the demo model on a pool of synthetic pictures, in stages, for a given time.

    python -m training.pool
    python -m training.train --stages masks:256:16:8:15 clicks:256:16:8:45 clicks:512:6:8:60

A stage is KIND:SIDE:PICTURES:PROMPTS:MINUTES. `dense` teaches the encoder alone (objects, boundaries, centres);
`masks` trains all of SAM with PROMPTS prompts for each of PICTURES windows of SIDE pixels a step; `clicks` does too,
with further clicks on the error. The learning rate falls along a cosine over the minutes of all stages.

Everything goes to the `--run` folder: `train.log`, `checkpoint.pth` (with the optimiser, for `--resume`) and
`sam_demo.pth`, the averaged weights as Meta's checkpoints keep them, fp16. On a GPU: `--device cuda` and some eight
times the pictures. On a busy CPU two processes of one thread each are quicker than one of two (pictures then are of
each):

    torchrun --nproc-per-node 2 -m training.train --threads 1 --stages ...
"""

import argparse
import logging
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from segmentation.backends.pytorch.sam_module import build_sam
from segmentation.weights.manifest import PROJECT_ROOT, find_model, load_manifest
from training.network import Frame, encode, normalise
from training.pool import POOL, Pool, open_pool
from training.prompts import Prompts, draw_prompts
from training.samples import Batch, draw_batch
from training.state import TrainingState
from training.steps import prompt_rounds
from training.warmup import dense_loss

LOG = logging.getLogger("training")
KINDS, KIND_SHARES = ("point", "box", "pair"), (0.55, 0.25, 0.2)
ROUND_SHARES = (0.65, 0.25, 0.1)
DENSE_WEIGHT = 0.25
WARMUP_STEPS = 60
SAVE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """See the module; `minutes` is time spent in training steps."""

    kind: str
    side: int
    pictures: int
    prompts: int
    minutes: float

    @classmethod
    def parse(cls, text: str) -> "Stage":
        kind, side, pictures, prompts, minutes = text.split(":")
        return cls(kind, int(side), int(pictures), int(prompts), float(minutes))


@dataclass(frozen=True, slots=True)
class Work:
    """What one step needs, made ahead in another thread."""

    batch: Batch
    prompts: Prompts | None
    kind: str
    rounds: int
    frame: Frame


def works(pool: Pool, stage: Stage, patches: int, seed: int) -> Iterator[Work]:
    """Endless work for a stage; the next is drawn while one is done. `patches`: the side of the model's frame."""
    rng = np.random.default_rng(seed)

    def draw() -> Work:
        side = stage.side // 16
        frame = Frame(*(int(place) for place in rng.integers(patches - side + 1, size=2)), side)
        batch = draw_batch(rng, pool, stage.pictures, stage.side)
        if stage.kind == "dense":
            return Work(batch, None, "dense", 0, frame)
        kind = str(rng.choice(KINDS, p=KIND_SHARES))
        rounds = int(rng.choice((1, 2, 3), p=ROUND_SHARES)) if stage.kind == "clicks" else 1
        return Work(batch, draw_prompts(rng, batch, stage.prompts, kind), kind, rounds, frame)

    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(draw)
        while True:
            work, coming = coming.result(), executor.submit(draw)
            yield work


def step(state: TrainingState, work: Work, balance: float, seconds: float) -> dict[str, float]:
    """One update, `seconds` after the one before; returns what to log."""
    sam, device = state.sam, state.sam.device
    batch = Batch(work.batch.images.to(device), work.batch.labels.to(device), work.batch.parents)
    with torch.autocast(device.type, torch.bfloat16):
        embeddings = encode(sam.image_encoder, normalise(sam, batch), work.frame)
        dense = dense_loss(state.head(embeddings).float(), batch.labels)
        loss, report = dense, {"dense": dense.item()}
        if work.prompts is not None:
            results = prompt_rounds(sam, embeddings, batch, work.prompts, work.frame, work.rounds, balance)
            loss = DENSE_WEIGHT * dense + torch.stack([result.loss for result in results]).mean()
            report[work.kind] = results[0].iou
            report["score_error"] = results[0].score_error
            for number, result in enumerate(results[1:], 2):
                report[f"round_{number}"] = result.iou
    state.update(loss, seconds)
    return report


def train(state: TrainingState, pool: Pool, stages: list[Stage], peak: float, rank: int) -> None:
    """Runs the stages from where the state stands."""
    total = 60 * sum(stage.minutes for stage in stages)
    end = 0.0
    for number, stage in enumerate(stages):
        end += 60 * stage.minutes
        if state.elapsed >= end:
            continue
        LOG.info("stage %s", stage)
        sums: dict[str, list[float]] = defaultdict(list)
        saved = begun = time.perf_counter()
        for work in works(pool, stage, state.patches, seed=state.steps * 100 + number * 10 + rank):
            progress = min(1.0, state.elapsed / total)
            warm = min(1.0, (state.steps + 1) / WARMUP_STEPS)
            state.set_rate(peak * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))))
            now = time.perf_counter()
            seconds, begun = now - begun, now
            for name, value in step(state, work, max(0.0, 1 - 2 * progress), seconds).items():
                sums[name].append(value)
            if state.steps % 25 == 0:
                figures = " ".join(f"{name} {np.mean(values):.3f}" for name, values in sorted(sums.items()))
                LOG.info("step %d, %.1f min: %s", state.steps, state.elapsed / 60, figures)
                sums.clear()
            finished = state.elapsed >= end
            if finished or now - saved > SAVE_SECONDS:
                state.save()
                saved = now
            if finished:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stages", type=Stage.parse, nargs="+", required=True, metavar="KIND:SIDE:PICTURES:PROMPTS:MINUTES"
    )
    parser.add_argument("--pool", type=Path, default=POOL)
    parser.add_argument("--run", type=Path, default=PROJECT_ROOT / "runs" / "demo", help="folder for log and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument("--device", default="cpu", help="cpu, cuda")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    rank = int(os.environ.get("RANK", "0"))
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    handlers = [logging.FileHandler(arguments.run / "train.log"), logging.StreamHandler()]
    logging.basicConfig(
        level=logging.WARNING if rank else logging.INFO, format="%(asctime)s %(message)s", handlers=handlers
    )
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    architecture = find_model("demo", load_manifest()).architecture
    state = TrainingState(build_sam(architecture).to(arguments.device).train(), arguments.run)
    if arguments.resume:
        state.load()
    train(state, open_pool(arguments.pool), arguments.stages, arguments.rate, rank)


if __name__ == "__main__":
    main()
