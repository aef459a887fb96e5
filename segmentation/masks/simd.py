"""Vector instructions that numba's own loops don't become: a block of pixels to one bit each.

numba makes a byte per element of what is compared; to LLVM a vector of comparisons is an integer. Runs wherever LLVM
does, with what the processor has. numba's cache of a kernel that calls these does not see them change.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32
"""Pixels of a block."""


@intrinsic  # type: ignore[untyped-decorator]
def lanes_above(
    typing: Any, near: Any, middle: Any, far: Any, first: Any, weights: Any, offset: Any, wanted: Any
) -> tuple[Any, Any]:
    """Where `LANES` weighted sums of three rows are above 0; and how many are above `offset`, and above -`offset`.

    Args:
        near, middle, far: float32 [N], the rows.
        first: int64, the index of the first sum in the rows; N is at least `LANES` more.
        weights: (float32, float32, float32), of the rows.
        offset: float32.
        wanted: uint64, bit n for the sum `first` + n. Others count for nothing.

    Returns:
        (inside, high, low): uint64, bit n where a wanted sum is above 0; int64 counts of wanted sums.
    """
    row = types.Array(types.float32, 1, "C")
    signature = types.Tuple((types.uint64, types.int64, types.int64))(
        row, row, row, types.int64, types.UniTuple(types.float32, 3), types.float32, types.uint64
    )
    return signature, _build_lanes_above


def _build_lanes_above(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    *rows, first, weights, offset, wanted = arguments
    lanes = ir.VectorType(ir.FloatType(), LANES)

    def spread(scalar: Any) -> Any:
        one = builder.insert_element(ir.Constant(lanes, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    total = None
    for place, (kind, row) in enumerate(zip(signature.args, rows, strict=False)):
        data = context.make_array(kind)(context, builder, value=row).data
        pointer = builder.bitcast(builder.gep(data, [first]), lanes.as_pointer())
        term = builder.fmul(spread(builder.extract_value(weights, place)), builder.load(pointer, align=4))
        total = term if total is None else builder.fadd(total, term)

    def above(threshold: Any) -> Any:
        bits = builder.bitcast(builder.fcmp_ordered(">", total, spread(threshold)), ir.IntType(LANES))
        return builder.and_(builder.zext(bits, ir.IntType(64)), wanted)

    zero = ir.Constant(ir.FloatType(), 0.0)
    inside, high, low = above(zero), above(offset), above(builder.fneg(offset))
    counted = [inside, builder.ctpop(high), builder.ctpop(low)]
    return context.make_tuple(builder, signature.return_type, counted)


@intrinsic  # type: ignore[untyped-decorator]
def lowest(typing: Any, bits: Any) -> tuple[Any, Any]:
    """The place of the lowest bit of a uint64 that is set, int64; 64 if none is."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build
