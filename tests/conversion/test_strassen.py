"""Products in fewer multiplications against numpy's."""

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from conversion.graph import Graph
from conversion.initializers import Embedded
from conversion.parts import by_parts
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


@pytest.mark.parametrize(("count", "most"), [(8, 8), (8, 2), (9, 4), (9, 100), (1, 1), (7, 3)])
def test_parts_can_be_halved_and_give_each_token_back(count: int, most: int) -> None:
    x = np.arange(2.0 * count * 3, dtype=np.float32).reshape(2 * count, 3)
    graph = Graph("parts", Embedded())

    def exchange_halves_twice(part: str) -> str:
        for _ in range(2):  # gives something else back where halves are unequal
            part = graph.concat(*reversed(graph.ops("Split", part, outputs=2, axis=0, num_outputs=2)), axis=0)
        return graph.add(part, graph.constant(1.0))

    tokens = graph.input("x", np.float32, ["n", 3])
    graph.output(by_parts(graph, tokens, (count, 3), most, exchange_halves_twice), "y", np.float32, ["n", 3])
    np.testing.assert_array_equal(run(graph, x), x + 1)
