"""Large matrix products in seven multiplications of quarters instead of eight.

Strassen's algorithm in Winograd's form, once (Higham, "Accuracy and Stability of Numerical Algorithms", chapter 23): an
eighth less work for the CPU's multipliers, for some sums of quarters, which take little while those are in its cache.
The answer differs by rounding only, two to three times that of the usual product; sums mix tokens, so one that is much
shorter than others is rounded as they are. The kernel takes 1.75 times the memory: the sums of its quarters are kept
beside three of them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conversion.graph import Graph

Quarters = Sequence[str]
"""A matrix [2m, 2n] as its parts [m, n]: top left, top right, bottom left, bottom right."""


def quarters(graph: Graph, x: str) -> Quarters:
    """A matrix whose dimensions are even, cut."""
    halves = graph.ops("Split", x, outputs=2, axis=0, num_outputs=2)
    return [part for half in halves for part in graph.ops("Split", half, outputs=2, axis=1, num_outputs=2)]


def joined(graph: Graph, parts: Quarters) -> str:
    """Undoes `quarters`."""
    halves = [graph.concat(*parts[start : start + 2], axis=1) for start in (0, 2)]
    return graph.concat(*halves, axis=0)


def product(graph: Graph, x: Quarters, kernel: NDArray[np.generic], bias: NDArray[np.generic], name: str) -> list[str]:
    """The quarters of x @ kernel + bias.

    Args:
        graph: takes the nodes.
        x: [rows, in].
        kernel: [in, out], both even.
        bias: [out].
        name: what the weights are called.
    """
    x11, x12, x21, x22 = x
    k11, k21, k22, t1, t2, t3, t4 = _kernels(graph, kernel, name)
    left, right = (graph.weight(half, f"{name}.bias.{i}") for i, half in enumerate(np.split(bias, 2)))
    s1 = graph.add(x21, x22)
    s2 = graph.op("Sub", s1, x11)
    s3 = graph.op("Sub", x11, x21)
    s4 = graph.op("Sub", x12, s2)

    def plus(x: str, kernel: str, addend: str) -> str:
        return graph.op("Gemm", x, kernel, addend)

    p1 = graph.matmul(x11, k11)
    p5 = plus(s1, t1, right)
    u2 = plus(s2, t2, p1)
    u3 = plus(s3, t3, u2)
    return [
        graph.add(plus(x12, k21, p1), left),
        plus(s4, k22, graph.add(u2, p5)),
        graph.add(plus(x22, t4, u3), left),
        graph.add(u3, p5),
    ]


def _kernels(graph: Graph, kernel: NDArray[np.generic], name: str) -> list[str]:
    """What the quarters of x and their sums are multiplied by."""
    top, bottom = (np.split(half, 2, axis=1) for half in np.split(kernel, 2, axis=0))
    k11, k12, k21, k22 = (part.astype(np.float64) for part in (*top, *bottom))
    t1 = k12 - k11
    t2 = k22 - t1
    sums = [part.astype(np.float32) for part in (t1, t2, k22 - k12, k21 - t2)]
    return [graph.weight(part, f"{name}.weight.{i}") for i, part in enumerate([top[0], *bottom, *sums])]
