"""A 12-megapixel JPEG to the pixels that the encoder takes: decoded, turned upright, its long side resized.

Contenders, on the same bytes and in turn round by round:
    ours            `open_image` and `resize_image`, as the server runs them.
    pillow          Pillow as most write it: open, turn by EXIF, convert, resize.
    NAME            another library's full decode, then our resize.
    NAME_own        another library's own resize, or its decode at a smaller scale.

Equal means: at most 1 level from Pillow's full decode and its antialiased bilinear resize, which SAM was trained
with. Who isn't equal is timed and shown, but is no bar. Libraries that are not installed are named in `missing`:
`pip install simplejpeg opencv-python-headless pyvips pyvips-binary`.

Predictions, written after a first try on one picture and before the first run of this file: ours 0.9 times the fastest
equal contender, simplejpeg with our resize; pyvips' own resize twice as fast, and 2 levels away.

    python -m benchmarks.image_decode [--side 1024] [--rounds 9]
"""

import argparse
import importlib
import io
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from benchmarks.pictures import picture
from benchmarks.report import finish, interleaved, machine
from segmentation.pictures.decode import open_image
from segmentation.transforms import InputFrame, input_size, resize_image

Pixels = NDArray[np.uint8]
Contender = Callable[[bytes], Pixels]

WIDTH, HEIGHT = 4000, 3000
ORIENTATION = 274
TURNED = 6
LIBRARIES = {"simplejpeg": "simplejpeg", "cv2": "opencv-python-headless", "pyvips": "pyvips"}
"""Module -> package."""
BAR = 1.3


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_decode")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    facts = machine(threads=1)
    modules = {module: found for module in LIBRARIES if (found := _imported(module))}
    contenders = _contenders(modules, options.side)
    pictures = {name: _compare(contenders, data, options.rounds) for name, data in _jpegs().items()}
    finish(
        "image_decode",
        {
            "machine": facts,
            "libraries": {
                "pillow's libjpeg-turbo": features.version("libjpeg_turbo"),
                **{LIBRARIES[module]: version(LIBRARIES[module]) for module in modules},
            },
            "missing": sorted(set(LIBRARIES) - set(modules)),
            "side": options.side,
            "rounds": options.rounds,
            "bar": BAR,
            "pictures": pictures,
        },
    )


def _jpegs() -> dict[str, bytes]:
    """Pictures of `WIDTH` x `HEIGHT` as cameras write them: enlarged photographs with a sensor's noise."""
    noise = np.random.default_rng(0).normal(0, 4, (HEIGHT, WIDTH, 1))

    def photograph(name: str) -> Image.Image:
        enlarged = Image.fromarray(picture(name)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        return Image.fromarray((np.asarray(enlarged) + noise).clip(0, 255).astype(np.uint8))

    def jpeg(image: Image.Image, quality: int, subsampling: str, orientation: int = 1) -> bytes:
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[ORIENTATION] = orientation
        image.save(buffer, "JPEG", quality=quality, subsampling=subsampling, exif=exif)
        return buffer.getvalue()

    coffee, cells = photograph("coffee"), photograph("cells")
    return {
        "camera": jpeg(coffee, 90, "4:2:0"),
        "held upright": jpeg(coffee, 90, "4:2:0", TURNED),
        "microscope": jpeg(cells, 95, "4:4:4"),
    }


def _contenders(modules: Mapping[str, ModuleType], side: int) -> dict[str, Contender]:
    frame = InputFrame(side)

    def pillow(data: bytes) -> Pixels:
        return resize_image(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), frame)

    def pillow_own(data: bytes) -> Pixels:
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (side, side))
        return resize_image(ImageOps.exif_transpose(image).convert("RGB"), frame)

    found: dict[str, Contender] = {
        "ours": lambda data: resize_image(open_image(data, max_megapixels=64), frame),
        "pillow": pillow,
        "pillow_own": pillow_own,
    }
    if simplejpeg := modules.get("simplejpeg"):
        # It leaves EXIF alone; the least that turns its arrays is a view.
        found["simplejpeg"] = lambda data: resize_image(_turned(simplejpeg.decode_jpeg(data), data), frame)
    if cv2 := modules.get("cv2"):

        def opencv(data: bytes) -> Pixels:
            decoded: Pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            return decoded

        def opencv_own(data: bytes) -> Pixels:
            whole = opencv(data)
            height, width = input_size((whole.shape[0], whole.shape[1]), frame)
            resized: Pixels = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
            return resized

        found |= {"opencv": lambda data: resize_image(opencv(data), frame), "opencv_own": opencv_own}
    if pyvips := modules.get("pyvips"):

        def vips_own(data: bytes) -> Pixels:
            # Turned last, in memory: libvips then reads the file once, from top to bottom.
            image = pyvips.Image.new_from_buffer(data, "", access="sequential")
            scale = side / max(image.width, image.height)
            resized: Pixels = image.resize(scale, kernel="linear").copy_memory().autorot().numpy()
            return resized

        def vips(data: bytes) -> Pixels:
            image = pyvips.Image.new_from_buffer(data, "", access="sequential")
            return resize_image(_turned(image.numpy(), data), frame)

        found |= {"pyvips": vips, "pyvips_own": vips_own}
    return found


def _compare(contenders: Mapping[str, Contender], data: bytes, rounds: int) -> dict[str, object]:
    reference = contenders["pillow"](data).astype(np.int16)
    levels: dict[str, int] = {}
    for name, run in contenders.items():
        pixels = run(data)
        if pixels.shape != reference.shape:
            raise RuntimeError(f"{name} made {pixels.shape}, not {reference.shape}")
        levels[name] = int(np.abs(pixels.astype(np.int16) - reference).max())
    seconds = interleaved({name: lambda run=run: run(data) for name, run in contenders.items()}, rounds)  # type: ignore[misc]
    fastest = min((name for name in contenders if name != "ours" and levels[name] <= 1), key=seconds.__getitem__)
    return {
        "bytes": len(data),
        "ms": {name: round(1000 * value, 1) for name, value in seconds.items()},
        "levels": levels,
        "fastest_equal": fastest,
        "ours_times_fastest_equal": round(seconds["ours"] / seconds[fastest], 3),
    }


def _turned(pixels: Pixels, data: bytes) -> Pixels:
    turned = Image.open(io.BytesIO(data)).getexif().get(ORIENTATION) == TURNED
    return np.rot90(pixels, -1) if turned else pixels


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
