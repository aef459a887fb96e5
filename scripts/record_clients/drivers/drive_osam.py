"""osam's own reading of pictures and masks, over HTTP as its documents show it: the package has no client."""

import base64

import numpy as np
import osam._json
import osam.types
import requests
from common import BOX, POINT, job


def main() -> None:
    asked = job()
    image = base64.b64encode(asked.picture.read_bytes()).decode()
    height, width = osam._json.image_b64data_to_ndarray(image).shape[:2]
    headers = {"Authorization": f"Bearer {asked.key}"} if asked.key else {}

    def mask(points: list[tuple[float, float]], labels: list[int], model: str = "sam:latest") -> np.ndarray:
        prompt = osam.types.Prompt(points=np.array(points, float), point_labels=np.array(labels))
        request = {"model": model, "image": image, "prompt": prompt.model_dump()}
        answer = requests.post(f"{asked.url}/api/generate", json=request, headers=headers, timeout=120)
        answer.raise_for_status()
        (found,) = answer.json()["annotations"]
        found["mask"] = osam._json.image_b64data_to_ndarray(found["mask"]) > 0
        annotation = osam.types.Annotation.model_validate(found)
        box = annotation.bounding_box
        whole = np.zeros((height, width), bool)
        whole[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1] = annotation.mask
        return whole

    asked.save(point=mask([POINT], [1]), box=mask([BOX[:2], BOX[2:]], [2, 3], asked.model()))


main()
