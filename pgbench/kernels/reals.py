"""Vectors of float64: four parameters of a row, or eight directions, at a time.

The compiler must not change the order of a sum, so it makes no vectors of a loop that adds up; what
is added lane by lane in four or eight sums, and at last across lanes, has an order of its own.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import models, register_model

from pgbench.kernels.prefetch import instruction
from pgbench.kernels.vectors import define, splat

_I1, _I32, _DOUBLE, _FLOAT = ir.IntType(1), ir.IntType(32), ir.DoubleType(), ir.FloatType()


class Reals(types.Type):
    """The type of a vector of n float64."""

    def __init__(self, n):
        self.n = n
        super().__init__(name=f"reals({n})")


four, eight = Reals(4), Reals(8)


@register_model(Reals)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.VectorType(_DOUBLE, kind.n))


define(
    {
        operator.add: "fadd", operator.iadd: "fadd", operator.sub: "fsub", operator.mul: "fmul",
        operator.imul: "fmul",
    },
    # Vectors with vectors, or with one number for all lanes.
    [signature(kind, kind, other) for kind in (four, eight) for other in (kind, types.float64)],
    {four: four.n, eight: eight.n},
)  # fmt: skip


def _pointer(context, builder, kind, array, index, to):
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), to.as_pointer())


def _mask(builder, m):
    """Whether a lane is one of the first m, which is 64 bits wide."""
    lanes = ir.Constant(ir.VectorType(ir.IntType(64), 4), [0, 1, 2, 3])
    return builder.icmp_unsigned("<", lanes, splat(builder, m, 4))


@instruction
def load(_typing, array, index, m):
    """``array[index]``, ... of the first m of four lanes, else zero; array (n,) float64."""

    def generate(context, builder, signature, arguments):
        array, index, m = arguments
        kind = ir.VectorType(_DOUBLE, 4)
        at = _pointer(context, builder, signature.args[0], array, index, kind)
        mask = ir.VectorType(_I1, 4)
        of = ir.FunctionType(kind, [kind.as_pointer(), _I32, mask, kind])
        function = cgutils.get_or_insert_function(builder.module, of, "llvm.masked.load.v4f64.p0")
        zeros = ir.Constant(kind, [0.0] * 4)
        return builder.call(function, [at, _I32(8), _mask(builder, m), zeros])

    return four(array, types.uint64, types.uint64), generate


@instruction
def store(_typing, array, index, m, vector):
    """Write the first m of four lanes to ``array[index]``, ...; array (n,) float64."""

    def generate(context, builder, signature, arguments):
        array, index, m, vector = arguments
        kind = ir.VectorType(_DOUBLE, 4)
        at = _pointer(context, builder, signature.args[0], array, index, kind)
        mask = ir.VectorType(_I1, 4)
        of = ir.FunctionType(ir.VoidType(), [kind, kind.as_pointer(), _I32, mask])
        function = cgutils.get_or_insert_function(builder.module, of, "llvm.masked.store.v4f64.p0")
        builder.call(function, [vector, at, _I32(8), _mask(builder, m)])
        return context.get_dummy_value()

    return types.void(array, types.uint64, types.uint64, vector), generate


@instruction
def load_eight(_typing, array, index):
    """``array[index]``, ..., ``array[index + 7]`` as float64; array (n,) float32."""

    def generate(context, builder, signature, arguments):
        kind = ir.VectorType(_FLOAT, 8)
        at = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], kind)
        return builder.fpext(builder.load(at, align=4), ir.VectorType(_DOUBLE, 8))

    return eight(array, types.uint64), generate


@instruction
def zeros(_typing, like):
    """A vector of zeros, as long as ``like``."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.VectorType(_DOUBLE, like.n), [0.0] * like.n)

    return like(like), generate


@instruction
def lane(_typing, vector, index):
    """The number in a lane."""

    def generate(context, builder, signature, arguments):
        return builder.extract_element(*arguments)

    return types.float64(vector, types.uint64), generate
