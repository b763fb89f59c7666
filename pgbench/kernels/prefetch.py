"""Instructions of LLVM's in kernels, and one of them: ask for a cache line before it is needed."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def instruction(generator: Callable[..., Any]) -> Any:
    """What kernels call without the first argument, for which numba has the typing context."""
    return intrinsic(generator)


@instruction
def prefetch(_typing, array, index):
    """Start to load ``array[index]`` (array one-dimensional) into the caches; changes nothing."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        ask(builder, builder.gep(data, [arguments[1]]))
        return context.get_dummy_value()

    return types.void(array, index), generate


def ask(builder, address):
    """Emit a prefetch of what lies at an address."""
    i8, i32 = ir.IntType(8), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [i8.as_pointer(), i32, i32, i32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, keep, data_cache = i32(0), i32(3), i32(1)
    builder.call(function, [builder.bitcast(address, i8.as_pointer()), read, keep, data_cache])
