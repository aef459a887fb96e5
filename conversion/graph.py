"""A thin builder of ONNX graphs: `x = graph.op("Relu", x)`. Values are names; knows operators, not networks.

Graphs are written directly instead of traced by an exporter: layout, constants and fusions are then ours to choose, and
converting needs no more memory than the weights.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper

from conversion.initializers import InitializerStore

OPSET = 20
"""The first with Gelu; LayerNormalization came with 17."""

IR_VERSION = 10
"""What opset 20 to 22 belong to; older ONNX Runtimes refuse newer ones."""

OLD_OPSET = 18
"""The first whose reductions take their axes as inputs; for graphs that run in other people's tools."""

OLD_IR_VERSION = 8

Dims = Sequence[int | str]


@dataclass(frozen=True, slots=True)
class Output:
    """A value that leaves the graph, or part of one, with its dtype and dimensions."""

    value: str
    dtype: type[np.generic]
    dims: Dims


class Branch:
    """The nodes of one side of an `If`, and its outputs."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.outputs: list[ValueInfoProto] = []

    def makes(self, value: str) -> bool:
        """Whether one of the nodes makes it."""
        return any(value in node.output for node in self.nodes)


class Graph:
    """Collects the nodes, constants, inputs and outputs of one graph.

    Constants go through `store`; equal small ones (shapes, scalars) are shared. With an older `opset` the graph has no
    operators of other domains.
    """

    def __init__(self, name: str, store: InitializerStore, *, opset: int = OPSET) -> None:
        self.name = name
        self._store = store
        self._opset = opset
        self._main = Branch()
        self._current = self._main
        self._inputs: list[ValueInfoProto] = []
        self._initializers: list[TensorProto] = []
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._weights: dict[str, str] = {}
        self._count = 0

    def input(self, name: str, dtype: type[np.generic], dims: Dims) -> str:
        """Declares a graph input; a dimension is a number, or a name when it is dynamic."""
        self._inputs.append(_value_info(name, dtype, dims))
        return name

    def output(self, value: str, name: str, dtype: type[np.generic], dims: Dims) -> None:
        """Names a value as an output of the graph, or adds it to those of the branch being built."""
        # A branch's outputs are told apart by their order. Under its own name a value is not copied.
        if self._current is self._main or not self._current.makes(value):
            self._current.nodes.append(helper.make_node("Identity", [value], [name]))
            value = name
        self._current.outputs.append(_value_info(value, dtype, dims))

    def weight(self, array: NDArray[np.generic], name: str) -> str:
        """A float32 weight; asked for again by its name, the same value. A float16 array is stored as it is and cast
        when the model is loaded: half the file."""
        if name not in self._weights:
            self._weights[name] = self._stored(array, name)
        return self._weights[name]

    def _stored(self, array: NDArray[np.generic], name: str) -> str:
        if array.dtype == np.float16:
            with self.outside():
                return self.op("Cast", self._initializer(array, f"{name}.fp16"), to=TensorProto.FLOAT)
        return self._initializer(array.astype(np.float32, copy=False), name)

    def raw(self, array: NDArray[np.generic], name: str) -> str:
        """A weight of any other type, as it is."""
        return self._initializer(array, name)

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """A small constant; equal ones become one."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:
            self._shared[key] = self._initializer(array, self._fresh("constant"))
        return self._shared[key]

    def ints(self, *values: int) -> str:
        """An int64 constant [len(values)]: a shape, axes or indices."""
        return self.constant(values, np.int64)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node with one output and returns its value."""
        if kind == "Gelu" and self._opset < OPSET:
            return self._gelu(inputs[0])
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Adds a node with several outputs."""
        names = [self._fresh(kind) for _ in range(outputs)]
        self._current.nodes.append(
            helper.make_node(kind, list(inputs), names, name=names[0], domain=domain or None, **attributes)
        )
        return names

    def _gelu(self, x: str) -> str:
        """In operators of older opsets."""
        bounded = self.op("Erf", self.mul(x, self.constant(0.5**0.5)))
        return self.mul(self.mul(x, self.constant(0.5)), self.add(bounded, self.constant(1.0)))

    def matmul(self, a: str, b: str) -> str:
        return self.op("MatMul", a, b)

    def add(self, a: str, b: str) -> str:
        return self.op("Add", a, b)

    def mul(self, a: str, b: str) -> str:
        return self.op("Mul", a, b)

    def reshape(self, x: str, *dims: int) -> str:
        """0 keeps the input's dimension at that place, -1 takes what is left."""
        return self.op("Reshape", x, self.ints(*dims))

    def transpose(self, x: str, *axes: int) -> str:
        return self.op("Transpose", x, perm=list(axes))

    def concat(self, *values: str, axis: int) -> str:
        return self.op("Concat", *values, axis=axis)

    def slice(self, x: str, axis: int, start: int, end: int) -> str:
        return self.op("Slice", x, self.ints(start), self.ints(end), self.ints(axis))

    def dim(self, x: str, axis: int) -> str:
        """One dimension of a value as int64 [1]."""
        return self.op("Shape", x, start=axis, end=axis + 1)

    def linear(self, x: str, weight: str, bias: str) -> str:
        """x @ weight + bias, weight [in, out]."""
        return self.add(self.matmul(x, weight), bias)

    def layer_norm(self, x: str, scale: str, bias: str, epsilon: float) -> str:
        """Over the last axis."""
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=epsilon)

    @contextmanager
    def branch(self) -> Iterator[Branch]:
        """Nodes added inside go to a branch, for `choose`; it may use every value made before."""
        with self._into(Branch()) as branch:
            yield branch

    def outside(self) -> AbstractContextManager[Branch]:
        """Nodes added inside go to the main graph. ONNX Runtime computes what depends on constants alone when it loads
        the model; in a branch it would do so at every run."""
        return self._into(self._main)

    @contextmanager
    def _into(self, branch: Branch) -> Iterator[Branch]:
        outer, self._current = self._current, branch
        try:
            yield branch
        finally:
            self._current = outer

    def choose(self, condition: str, then: Branch, other: Branch) -> list[str]:
        """The outputs of `then` where the bool scalar `condition` is true, else those of `other`."""
        graphs = [helper.make_graph(side.nodes, self._fresh("branch"), [], side.outputs) for side in (then, other)]
        return self.ops("If", condition, outputs=len(then.outputs), then_branch=graphs[0], else_branch=graphs[1])

    def outputs_if(self, condition: str, build: Callable[[], Mapping[str, "Output"]]) -> None:
        """Outputs of the graph that `build` makes where the condition holds, and empty ones elsewhere.

        Each needs a named dimension, which is 0 where they are empty.
        """
        with self.branch() as some:
            made = build()
            for name, output in made.items():
                self.output(output.value, f"{name}_some", output.dtype, output.dims)
        with self.branch() as none:
            for name, output in made.items():
                empty = np.zeros([size if isinstance(size, int) else 0 for size in output.dims], output.dtype)
                self.output(self._initializer(empty, f"{name}_empty"), f"{name}_none", output.dtype, output.dims)
        for (name, output), value in zip(made.items(), self.choose(condition, some, none), strict=True):
            self.output(value, name, output.dtype, output.dims)

    def model(self) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self._main.nodes, self.name, self._inputs, self._main.outputs, initializer=self._initializers
        )
        opsets = [helper.make_opsetid("", self._opset)]
        if self._opset == OPSET:
            opsets.append(helper.make_opsetid("com.microsoft", 1))
        ir_version = IR_VERSION if self._opset == OPSET else OLD_IR_VERSION
        return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="sam-serve")

    def _initializer(self, array: NDArray[np.generic], name: str) -> str:
        self._initializers.append(self._store.put(name, array))
        return name

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


def _value_info(name: str, dtype: type[np.generic], dims: Dims) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(dims))
