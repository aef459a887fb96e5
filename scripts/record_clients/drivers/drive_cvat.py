"""cvat-cli: loads the example function as an agent does, and calls it through the agent's worker."""

import os
from pathlib import Path

import numpy as np
import PIL.Image
from common import BOX, POINT, job
from cvat_cli._internal import agent_driver, agent_driver_interaction
from cvat_cli._internal.common import FunctionLoader
from cvat_sdk.masks import decode_mask

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "cvat_function.py"


def main() -> None:
    asked = job()
    if asked.key:
        os.environ["SAM_API_KEY"] = asked.key
    function = FunctionLoader(None, EXAMPLE, {"server": asked.url, "model": asked.model()}).load()
    image = PIL.Image.open(asked.picture)
    agent_driver_interaction.AgentInteractionFunctionDriver.init_worker(None)
    agent_driver_interaction.worker_current_function = lambda: function

    def mask(points: list[tuple[int, int]], box: tuple[tuple[int, int], tuple[int, int]] | None) -> np.ndarray:
        prompts = agent_driver_interaction._InteractionPromptsImpl(
            pos_points=tuple(points), neg_points=(), bounding_box=box
        )
        cached = agent_driver_interaction._worker_job_interact_from_cache("frame", prompts)
        shapes = cached or agent_driver_interaction._worker_job_interact("frame", image, prompts)
        (shape,) = shapes
        assert shape.type == "mask"
        return decode_mask(shape.points, image_width=image.width, image_height=image.height)

    fields = agent_driver_interaction.AgentInteractionFunctionDriver.get_remote_function_fields(function.spec)
    print(fields, agent_driver.__name__)
    asked.save(point=mask([POINT], None), box=mask([], (BOX[:2], BOX[2:])))


main()
