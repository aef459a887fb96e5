"""What `sam-serve` takes, and the exit status: 0 done, 1 some pictures failed, 2 wrong use, 130 interrupted."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Exit

from commands.failures import INTERRUPTED

app = typer.Typer(
    name="sam-serve",
    help="Segment Anything: serve it, and segment, measure and count pictures with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[
    str | None, typer.Option("--model", help="vit_h, vit_l, vit_b, demo, or a name in the manifest [SAM_MODEL_TYPE]")
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server", envvar="SAM_SERVER", help="a server's address; without one the model runs in this process"
    ),
]
Config = Annotated[Path | None, typer.Option("--config", help="a Serve config file instead of the package's own")]
Preset = Annotated[str | None, typer.Option("--preset", help="named rules of the analysis, as objects, none")]
PixelSize = Annotated[str | None, typer.Option("--pixel-size", help="side of a pixel, as 0.65um")]
Parameters = Annotated[
    str | None,
    typer.Option("--parameters", help="JSON, or a file of it: parameters of automatic masks and rules of the analysis"),
]
Tile = Annotated[int | None, typer.Option("--tile", help="cut pictures into tiles of this side in pixels")]
Halo = Annotated[int | None, typer.Option("--halo", help="pixels that neighbouring tiles share; default tile/4")]
Level = Annotated[int, typer.Option("--level", help="of a pyramid, 0 is the full resolution")]


@app.command()
def serve(
    model: Model = None,
    port: Annotated[int | None, typer.Option("--port", help="default 5000")] = None,
    host: Annotated[str | None, typer.Option("--host", help="default 127.0.0.1: this machine only")] = None,
    config: Config = None,
) -> None:
    """Run the server on this machine until Ctrl-C."""
    from commands import serve as command

    raise Exit(command.run(model, port, host, config))


@app.command()
def check(model: Model = None, config: Config = None) -> None:
    """Say what the server would run with these settings, and whether it can, without starting it."""
    from commands import serve as command

    raise Exit(command.check(model, config))


@app.command()
def convert(
    model: Model = None,
    checkpoint: Annotated[Path | None, typer.Option(help="a file to convert instead of the model's own")] = None,
    output_dir: Annotated[Path | None, typer.Option(help="with --checkpoint: folder of the pair")] = None,
    precision: Annotated[str, typer.Option(help="of the encoder: fp32, int8 or bf16")] = "fp32",
    force: Annotated[bool, typer.Option("--force", help="replace a pair that is there")] = False,
) -> None:
    """Convert a checkpoint to the pair of ONNX files that the server runs fastest (needs the extra `pytorch`)."""
    from commands import convert as command

    raise Exit(command.run(model, checkpoint, output_dir, precision, force))


@app.command()
def segment(
    picture: Annotated[Path, typer.Argument(help="a picture")],
    point: Annotated[list[str] | None, typer.Option(help="X,Y of the object, or X,Y,0 of the background")] = None,
    box: Annotated[list[str] | None, typer.Option(help="X0,Y0,X1,Y1 around the object")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="FILE.png (mask), .json, .geojson or .txt (YOLO); without it, JSON"),
    ] = None,
    model: Model = None,
    server: Server = None,
) -> None:
    """The best mask of points and a box, together one prompt."""
    from commands import segment as command

    raise Exit(command.run(picture, point or [], box or [], output, model, server))


@app.command()
def everything(
    pictures: Annotated[list[str], typer.Argument(help="pictures, folders or globs")],
    output: Annotated[Path, typer.Option("--output", "-o", help="folder of the results")],
    formats: Annotated[
        str, typer.Option(help="csv, xlsx, geojson, coco, yolo, labels, rois, overlay, comma separated")
    ] = "csv,overlay",
    preset: Preset = None,
    pixel_size: PixelSize = None,
    parameters: Parameters = None,
    tile: Tile = None,
    halo: Halo = None,
    level: Level = 0,
    model: Model = None,
    server: Server = None,
) -> None:
    """Everything in pictures: found, measured, grouped, counted, and written to files."""
    from commands import everything as command
    from commands.jobs import JobOptions

    options = JobOptions(formats, preset, pixel_size, parameters, tile, halo, level)
    raise Exit(command.run(pictures, output, options, model, server))


@app.command()
def batch(
    input: Annotated[str, typer.Argument(help="a folder, a glob, or a URL (s3://, gs://, file://)")],
    output: Annotated[str, typer.Argument(help="a folder or a URL")],
    formats: Annotated[str, typer.Option(help="files beside the tables, as for `everything`")] = "",
    preset: Preset = None,
    pixel_size: PixelSize = None,
    parameters: Parameters = None,
    tile: Tile = None,
    halo: Halo = None,
    level: Level = 0,
    model: Model = None,
    address: Annotated[str | None, typer.Option(help="`auto` joins a Ray cluster; without it one is started")] = None,
    workers: Annotated[
        int | None, typer.Option(help="processes that segment; default one a CPU core, or a GPU")
    ] = None,
    part: Annotated[int, typer.Option(help="pictures in one part of the output, which is done or not done")] = 32,
) -> None:
    """Whole collections on Ray Data: streamed, in parallel, and resumed where a run has stopped (extra `batch`)."""
    from commands import batch as command
    from commands.jobs import JobOptions

    options = JobOptions(formats, preset, pixel_size, parameters, tile, halo, level)
    raise Exit(command.run(input, output, options, model, address, workers, part))


@app.command()
def bench(
    pictures: Annotated[list[Path] | None, typer.Argument(help="pictures to send; without any, drawn ones")] = None,
    server: Annotated[str, typer.Option("--server", envvar="SAM_SERVER")] = "http://127.0.0.1:5000",
    rate: Annotated[float | None, typer.Option(help="open loop: requests a second, whatever the answers do")] = None,
    clients: Annotated[int | None, typer.Option(help="closed loop: each asks again once it is answered")] = None,
    seconds: Annotated[float, typer.Option(help="how long requests are sent")] = 10.0,
    slo_ms: Annotated[float, typer.Option(help="the bound whose share is told")] = 500.0,
    requests: Annotated[
        str, typer.Option(help="click: a point on a known picture; picture: a new picture; everything: automatic masks")
    ] = "click",
    parameters: Annotated[str | None, typer.Option(help="JSON: parameters of automatic masks")] = None,
    plot: Annotated[Path | None, typer.Option(help="an SVG of the latencies")] = None,
) -> None:
    """Load on a server of your own: latency percentiles, rate, errors; the last line is JSON."""
    from commands import bench as command

    raise Exit(command.run(pictures or [], server, rate, clients, seconds, slo_ms, requests, parameters, plot))


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    try:
        app(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 0
    return 0
