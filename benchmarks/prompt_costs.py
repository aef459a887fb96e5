"""What a prompt costs the decoder by its points and by the picture's pixels: the figures behind `prompt_parts`.

    python -m benchmarks.prompt_costs [--model demo] [--threads 1] [--rounds 5]

Medians in milliseconds of processor time, all threads together, on a prepared picture: of one prompt of so many points,
of so many prompts of one point at once, and of writing one mask in each format. The masks are the model's own on the
picture of coins, enlarged.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.report import finish, machine
from deployments.replicas.mask_json import prompt_mask
from segmentation.automatic.generate import pad_to_square
from segmentation.backends.opening import open_decoder, open_encoder
from segmentation.backends.protocol import DecoderBackend, PreparedImage
from segmentation.backends.select import plan_runtime
from segmentation.masks.formats import MaskFormat
from segmentation.predict import segment
from segmentation.settings import RuntimeSettings
from segmentation.transforms import input_size, resize_image
from segmentation.types import MaskRecord, Prompt, Size
from segmentation.warmup import warm_up
from segmentation.weights.manifest import PROJECT_ROOT

COINS = PROJECT_ROOT / "docs" / "images" / "coins.png"
POINTS = (1, 8, 32, 64, 128, 256, 512, 1024)
SIZES = ((303, 384), (1000, 1000), (2000, 2000), (4000, 4000), (8000, 8000), (900, 65_535))
PROMPTS = (1, 2, 4, 8, 16, 24)
FORMATS: tuple[MaskFormat, ...] = ("rle", "polygon", "png")


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """The median of that many runs, after one more: processor time, which a busy machine leaves as it is."""
    work()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(1000 * (time.process_time() - started))
    return round(median(times), 2)


def prompt(rng: np.random.Generator, size: Size, points: int = 1) -> Prompt:
    return Prompt(
        points=rng.uniform(0, (size[1], size[0]), (points, 2)).astype(np.float32),
        labels=np.ones(points, np.int64),
    )


class Costs:
    """A decoder and a picture that it has prepared."""

    def __init__(self, model: str, threads: int, rounds: int) -> None:
        settings = RuntimeSettings(
            model_type=model, model_dir=PROJECT_ROOT / "model", onnx_dir=PROJECT_ROOT / "model" / "onnx"
        )
        plan = plan_runtime(settings, download=False)
        self.decoder: DecoderBackend = open_decoder(plan, device="cpu", threads=threads)
        self._encoder = open_encoder(plan, device="cpu", threads=threads)
        self._rounds = rounds
        self._rng = np.random.default_rng(0)

    def prepared(self, size: Size) -> PreparedImage:
        """Coins, stretched to this size before it is resized for the encoder."""
        frame = self.decoder.architecture.frame
        height, width = input_size(size, frame)
        with Image.open(COINS) as coins:
            resized = resize_image(np.asarray(coins.convert("RGB").resize((width, height))), frame)
        embedding = self._encoder.encode(pad_to_square(resized, frame.side)[None], np.array([[height, width]]))[0]
        return self.decoder.prepare(embedding)

    def masks(self, image: PreparedImage, size: Size, prompts: list[Prompt]) -> list[MaskRecord]:
        return [record for records in segment(self.decoder, image, size, prompts) for record in records]

    def decoding(self, size: Size, prompts: int = 1, points: int = 1) -> float:
        """Milliseconds of so many prompts of so many points each, on a picture of this size."""
        image = self.prepared(size)
        return milliseconds(
            lambda: self.masks(image, size, [prompt(self._rng, size, points) for _ in range(prompts)]), self._rounds
        )

    def writing(self, size: Size, mask_format: MaskFormat) -> float:
        """Milliseconds of writing a mask, of the three of a point in the middle the one that takes longest."""
        middle = Prompt(np.array([[size[1] / 2, size[0] / 2]], np.float32), np.ones(1, np.int64))
        records = self.masks(self.prepared(size), size, [middle])
        return max(milliseconds(lambda record=record: prompt_mask(record, mask_format), 2) for record in records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    facts = machine(options.threads)
    warm_up()
    costs = Costs(options.model, options.threads, options.rounds)
    small = SIZES[0]
    finish(
        "prompt_costs",
        {
            "machine": facts,
            "model": options.model,
            "points": {points: costs.decoding(small, points=points) for points in POINTS},
            "prompts": {prompts: costs.decoding(small, prompts=prompts) for prompts in PROMPTS},
            "pixels": {f"{height} x {width}": costs.decoding((height, width)) for height, width in SIZES},
            "prompts_8000": {prompts: costs.decoding((8000, 8000), prompts=prompts) for prompts in PROMPTS[:4]},
            "writing": {
                f"{height} x {width}": {name: costs.writing((height, width), name) for name in FORMATS}
                for height, width in SIZES
            },
        },
    )


if __name__ == "__main__":
    main()
