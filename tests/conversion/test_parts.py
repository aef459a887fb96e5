"""Parts of pictures' tokens: what is made of each token comes back to its place."""

import numpy as np
import onnxruntime
import pytest

from conversion.graph import Graph
from conversion.initializers import Embedded
from conversion.parts import Parts

WIDTH = 3


@pytest.mark.parametrize("spare", [0, 1])
@pytest.mark.parametrize(("count", "most"), [(8, 8), (8, 2), (9, 4), (9, 100), (1, 1), (7, 3), (7, None)])
def test_parts_give_each_token_back(count: int, most: int | None, spare: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 2, count, WIDTH)).astype(np.float32)  # of two pictures
    graph = Graph("parts", Embedded())
    parts = Parts((count, WIDTH), most, spare)

    def sums_and_first(x: str, y: str) -> str:
        return graph.concat(graph.add(x, y), x, axis=1)

    made = parts.each(graph, [graph.input(name, np.float32, ["n", WIDTH]) for name in "xy"], sums_and_first, 2 * WIDTH)
    graph.output(graph.reshape(made, -1, parts.total, 2 * WIDTH), "made", np.float32, ["b", parts.total, 2 * WIDTH])
    graph.output(parts.crop(graph, made, 2 * WIDTH), "cropped", np.float32, ["n", 2 * WIDTH])
    session = onnxruntime.InferenceSession(graph.model().SerializeToString(), providers=["CPUExecutionProvider"])
    padded, cropped = session.run(None, {"x": x.reshape(-1, WIDTH), "y": y.reshape(-1, WIDTH)})

    expected = np.concatenate([x + y, x], axis=2)
    np.testing.assert_array_equal(cropped, expected.reshape(-1, 2 * WIDTH))
    np.testing.assert_array_equal(padded[:, :count], expected)
    assert padded.shape[1] >= count + spare
    np.testing.assert_array_equal(padded[:, count:], 0)


@pytest.mark.parametrize(("most", "tokens"), [(2, 2), (4, 4), (5, 4), (8, 8)])
def test_no_part_has_more_tokens_than_it_may(most: int, tokens: int) -> None:
    parts = Parts((8, WIDTH), most)
    graph = Graph("parts", Embedded())
    x = graph.input("x", np.float32, [8, WIDTH])
    graph.output(parts.each(graph, [x], lambda part: part, WIDTH), "made", np.float32, ["n", WIDTH])
    scan = next(node for node in graph.model().graph.node if node.op_type == "Scan")
    body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    assert body.input[0].type.tensor_type.shape.dim[0].dim_value == tokens
