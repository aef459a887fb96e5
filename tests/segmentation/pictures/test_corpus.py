"""Every file of the corpus has its right pixels, or the refusal that names it."""

import numpy as np
import pytest
from picture_corpus import corpus
from pictures import decode

from segmentation.errors import SegmentationError

CORPUS = corpus()


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 150


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_file_has_its_pixels(name: str) -> None:
    sample = CORPUS[name]
    if sample.rgb is None:
        with pytest.raises(SegmentationError, match=sample.refusal):
            decode(sample.data, **sample.options)
        return
    rgb = decode(sample.data, **sample.options)
    expected = sample.rgb if sample.rgb.ndim == 3 else np.repeat(sample.rgb[:, :, None], 3, axis=2)
    assert rgb.shape == expected.shape
    assert np.abs(rgb.astype(int) - expected).max() <= 1
