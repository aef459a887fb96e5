"""The folder of models of an installed package, with the demo model in it."""

import shutil

from commands.failures import reason, say
from segmentation.weights.manifest import DATA_ROOT, PROJECT_ROOT


def prepare_home() -> None:
    """Copies the demo model of the package to where models are looked for. A checkout has it there already."""
    if PROJECT_ROOT == DATA_ROOT:
        return
    for source in sorted((DATA_ROOT / "model").rglob("sam_demo*")):
        target = PROJECT_ROOT / source.relative_to(DATA_ROOT)
        if target.is_file() and target.stat().st_size == source.stat().st_size:
            continue
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            partial.replace(target)
        except OSError as error:
            say(f"the demo model is not copied to {target.parent}: {reason(error)}; SAM_MODEL_DIR names another folder")
            return
