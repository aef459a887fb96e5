"""Products in fewer multiplications against numpy's."""

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.initializers import Embedded
from conversion.strassen import joined, product, quarters


def run(graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph.model().SerializeToString(), providers=["CPUExecutionProvider"])
    made: NDArray[np.float32] = session.run(None, {"x": x})[0]
    return made


@pytest.mark.parametrize("stored", [np.float32, np.float16])
@pytest.mark.parametrize("shape", [(2, 2, 2), (6, 10, 4), (256, 320, 640)], ids=str)
def test_the_product_is_numpys(shape: tuple[int, int, int], stored: type[np.floating]) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inner)).astype(np.float32)
    kernel = rng.standard_normal((inner, columns)).astype(stored)
    bias = rng.standard_normal(columns).astype(stored)
    graph = Graph("product", Embedded())
    made = product(graph, quarters(graph, graph.input("x", np.float32, list(x.shape))), kernel, bias, "layer")
    graph.output(joined(graph, made), "y", np.float32, [rows, columns])
    expected = x.astype(np.float64) @ kernel.astype(np.float64) + bias
    assert np.linalg.norm(run(graph, x) - expected) <= 2e-6 * np.linalg.norm(expected)
