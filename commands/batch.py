"""`sam-serve batch`: a collection on Ray Data."""

import warnings

from batch.names import readable, result_names
from batch.storage import list_pictures, place
from commands.compile import compile_all
from commands.engines import local_plan
from commands.failures import INTERRUPTED, WRONG_USE, reason, say
from commands.home import prepare_home
from commands.jobs import JobOptions
from commands.screen import batch_progress
from segmentation.errors import InvalidRequest, SegmentationError


def run(
    given: str,
    target: str,
    options: JobOptions,
    model: str | None,
    address: str | None,
    workers: int | None,
    part: int,
) -> int:
    """Returns the exit status."""
    try:
        from batch.pipeline import Input, Resources, prepare_output, run_batch
    except ModuleNotFoundError as error:
        say(f"a batch needs {error.name}: install the extra 'batch', as pip install 'sam-serve[cpu,batch]'")
        return WRONG_USE
    try:
        if part < 1 or (workers is not None and workers < 1):
            raise InvalidRequest("--part and --workers are at least 1")
        options.job("")
        source, paths = list_pictures(given)
        prepare_home()
        plan = local_plan(model)
        job = options.job(plan.spec.name, f"{plan.backend}/{plan.precision}/{plan.source}")
        output = place(target)
        prepare_output(output, job)
        compile_all()  # once here, not in every worker at the same time
    except (SegmentationError, OSError) as error:
        say(reason(error))
        return WRONG_USE
    pictures = Input(source, paths, [readable(name) for name in result_names(paths)])
    try:
        with batch_progress(len(paths)) as progress, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            totals = run_batch(
                pictures, output, job, plan, Resources(address, workers or 0), part=part, progress=progress
            )
    except InvalidRequest as error:
        say(reason(error))
        return WRONG_USE
    except KeyboardInterrupt:
        say("interrupted: the same command goes on where this run has stopped")
        return INTERRUPTED
    print(f"{totals.done} pictures with {totals.objects} objects, {totals.failed} failed: {target}")
    return 1 if totals.failed else 0
