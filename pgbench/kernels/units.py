"""Parts of kernels that are compiled by themselves, and called by their address.

What takes seconds to compile is cut into units, which several processes compile at once. numba's
own functions as arguments do that too, and take 100 µs whenever a kernel is called with one.
"""

from functools import cached_property
from typing import Any

from numba import types
from numba.core import cgutils, errors
from numba.extending import NativeValue, models, register_model, unbox

from pgbench.kernels.parts import ALWAYS, Kept
from pgbench.kernels.prefetch import instruction


class Unit(Kept):
    """A function of arguments of known types that returns nothing; only kernels call it."""

    def __init__(self, function: Any, kinds: tuple[Any, ...]) -> None:
        own = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
        super().__init__(function, targetoptions=ALWAYS | own)
        self.own = types.void(*kinds)

    @property
    def _numba_type_(self) -> "Address":  # type: ignore[override]
        return Address(self.own)

    @cached_property
    def address(self) -> int:
        """Where its code is, which is compiled or loaded if need be."""
        self.compile(self.own)
        compiled: Any = self.overloads[self.own.args]
        name = compiled.fndesc.llvm_func_name
        found: int = compiled.library.get_pointer_to_function(name)
        return found


class Address(types.Type):
    """The type of the address of a unit, by its signature."""

    def __init__(self, signature: Any) -> None:
        self.signature = signature
        super().__init__(f"address of {signature}")


@register_model(Address)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Address) -> None:
        super().__init__(manager, kind, cgutils.intp_t)


@unbox(Address)
def _address_of(kind: Address, unit: Any, own: Any) -> NativeValue:
    """Ask for ``Unit.address``."""
    builder, number = own.builder, own.pyapi.object_getattr_string(unit, "address")
    failed, value = cgutils.is_null(builder, number), cgutils.alloca_once(builder, cgutils.intp_t)
    with builder.if_then(builder.not_(failed), likely=True):
        builder.store(own.pyapi.long_as_ulonglong(number), value)
        own.pyapi.decref(number)
    return NativeValue(builder.load(value), is_error=failed)


@instruction
def call(_typing, unit, arguments):
    """Call a unit with a tuple of arguments."""
    if not isinstance(unit, Address):
        raise errors.TypingError(f"{unit} is not a unit")
    wanted, given = unit.signature.args, tuple(map(types.unliteral, arguments))
    if given != wanted:
        raise errors.TypingError(f"a unit takes {wanted}, and not {given}")

    def generate(context, builder, signature, arguments):
        address, values = arguments
        function = context.call_conv.get_function_type(types.none, wanted)
        at = builder.inttoptr(address, function.as_pointer())
        own = [
            context.cast(builder, value, kind, to)
            for value, kind, to in zip(
                cgutils.unpack_tuple(builder, values), signature.args[1], wanted, strict=True
            )
        ]
        status, _ = context.call_conv.call_function(builder, at, types.none, wanted, own)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(unit, arguments), generate
