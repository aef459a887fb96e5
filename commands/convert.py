"""`sam-serve convert`: the conversion's own command lines under one name."""

from pathlib import Path

from commands.failures import WRONG_USE, say
from commands.home import prepare_home


def run(model: str | None, checkpoint: Path | None, output_dir: Path | None, precision: str, force: bool) -> int:
    """Returns the exit status of the conversion."""
    prepare_home()
    try:
        from conversion import convert_model, convert_to_onnx
    except ModuleNotFoundError as error:
        absent = str(error) if error.name is None else f"a conversion needs {error.name}: install the extra 'pytorch'"
        say(f"{absent}, as pip install 'sam-serve[cpu,pytorch]'")
        return WRONG_USE
    arguments = ["--precision", precision, *(["--model-type", model] if model else []), *(["--force"] if force else [])]
    if checkpoint is None:
        if output_dir is not None:
            say("--output-dir goes with --checkpoint; SAM_ONNX_DIR is the folder of the models' own pairs")
            return WRONG_USE
        return convert_model.main(arguments)
    arguments += ["--checkpoint", str(checkpoint), *(["--output-dir", str(output_dir)] if output_dir else [])]
    return convert_to_onnx.main(arguments)
