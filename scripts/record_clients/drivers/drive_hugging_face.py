"""huggingface_hub's InferenceClient: image segmentation at the model's URL."""

import numpy as np
from common import job
from huggingface_hub import InferenceClient


def main() -> None:
    asked = job()
    client = InferenceClient(model=f"{asked.url}/hugging-face", token=asked.key or "none")
    found = client.image_segmentation(str(asked.picture))
    by_name = InferenceClient(model=f"{asked.url}/hugging-face/{asked.model()}", token=asked.key or "none")
    strict = by_name.image_segmentation(str(asked.picture), threshold=0.95)
    assert len(strict) <= len(found)
    assert all(element.score >= 0.95 for element in strict)
    asked.save(everything=np.array([np.asarray(element.mask) > 0 for element in found]))


main()
