"""A vector of 64-bit words, one per lane: arithmetic that is sure to use the vector units.

Written as loops over arrays it would be the compiler's choice, and where it cannot see that arrays
do not overlap it chooses scalars. LLVM makes of these vectors what the processor has: registers of
512, 256 or 128 bits, or scalars. Gathers become single loads where there is no such instruction.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature
from numba.extending import models, register_model

from pgbench.kernels.prefetch import ask, instruction
from pgbench.kernels.vectors import define, splat

WIDTH = 32
"""Lanes: so many trajectories of a finite problem advance in lock step, see ``finite.tape``."""

_I1, _I32, _I64 = (ir.IntType(n) for n in (1, 32, 64))
_VECTOR = ir.VectorType(_I64, WIDTH)
_POINTERS = ir.VectorType(_I64.as_pointer(), WIDTH)


class Words(types.Type):
    """The type of a vector of ``WIDTH`` uint64."""


words = Words(name="words")


@register_model(Words)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _VECTOR)


define(
    {
        operator.add: "add", operator.iadd: "add", operator.mul: "mul", operator.and_: "and_",
        operator.or_: "or_", operator.xor: "xor", operator.ixor: "xor", operator.lshift: "shl",
        operator.rshift: "lshr",
    },
    # Vectors with vectors, or with one word for all lanes.
    [
        signature(words, words, words),
        signature(words, words, types.uint64),
        signature(words, types.uint64, words),
    ],
    {words: WIDTH},
)  # fmt: skip


def _address(context, builder, kind, array, index):
    """Of an element of a one-dimensional contiguous array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


@instruction
def load(_typing, array, index):
    """The words at ``array[index]``, ``array[index + 1]``, ...; array (n,) uint64."""

    def generate(context, builder, signature, arguments):
        at = _address(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(at, _VECTOR.as_pointer()), align=8)

    return words(array, types.intp), generate


@instruction
def store(_typing, array, index, vector):
    """Write the words to ``array[index]``, ``array[index + 1]``, ...; array (n,) uint64."""

    def generate(context, builder, signature, arguments):
        at = _address(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], builder.bitcast(at, _VECTOR.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@instruction
def gather(_typing, table, index):
    """``table[index]`` of every lane; table (n,) uint64."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        bytes_from = builder.shl(arguments[1], ir.Constant(_VECTOR, [3] * WIDTH))
        at = builder.add(splat(builder, builder.ptrtoint(data, _I64), WIDTH), bytes_from)
        mask = ir.VectorType(_I1, WIDTH)
        kind = ir.FunctionType(_VECTOR, [_POINTERS, _I32, mask, _VECTOR])
        name = f"llvm.masked.gather.v{WIDTH}i64.v{WIDTH}p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        every, other = ir.Constant(mask, [1] * WIDTH), ir.Constant(_VECTOR, ir.Undefined)
        return builder.call(function, [builder.inttoptr(at, _POINTERS), _I32(8), every, other])

    return words(table, index), generate


@instruction
def spread(_typing, array, index, stride, vector):
    """Write the low half of lane l to ``array[index + l·stride]``; array (n,) uint32."""

    def generate(context, builder, signature, arguments):
        array, at, stride, vector = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        for lane in range(WIDTH):
            low = builder.trunc(builder.extract_element(vector, _I32(lane)), _I32)
            builder.store(low, builder.gep(data, [at]))
            at = builder.add(at, stride)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector), generate


@instruction
def choose_below(_typing, x, y, below, other):
    """In every lane ``below`` where x < y, else ``other``."""

    def generate(context, builder, signature, arguments):
        x, y, below, other = arguments
        return builder.select(builder.icmp_unsigned("<", x, y), below, other)

    return words(x, y, below, other), generate


@instruction
def count_set(_typing, vector):
    """In how many lanes the word is not zero, uint64."""

    def generate(context, builder, signature, arguments):
        mask, zeros = ir.IntType(WIDTH), ir.Constant(_VECTOR, [0] * WIDTH)
        found = builder.bitcast(builder.icmp_unsigned("!=", arguments[0], zeros), mask)
        return builder.zext(builder.ctpop(found), _I64)

    return types.uint64(vector), generate


@instruction
def prefetch(_typing, table, index):
    """Start to load ``table[index]`` of every lane into the caches; changes nothing."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        for lane in range(WIDTH):
            index = builder.extract_element(arguments[1], _I32(lane))
            ask(builder, builder.gep(data, [index]))
        return context.get_dummy_value()

    return types.void(table, index), generate
