"""What vectors of LLVM's have in common, whatever their lanes hold."""

from llvmlite import ir
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin

_I32 = ir.IntType(32)


def splat(builder, value, n):
    """Emit a vector that has a value in each of n lanes."""
    undefined = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    first = builder.insert_element(undefined, value, _I32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, n), [0] * n))


def define(instructions, signatures, widths):
    """Let operations be instructions of LLVM's, lane by lane.

    Parameters
    ----------
    instructions
        By operation, the name of the builder's method.
    signatures
        Of what operations take and give: vectors, or a vector and a value for all of its lanes.
    widths
        Numbers of lanes by the type of vectors.
    """

    class Arithmetic(ConcreteTemplate):
        cases = signatures

    def defined(name):
        def generate(context, builder, signature, arguments):
            n = widths[signature.return_type]
            x, y = (
                a if kind in widths else splat(builder, a, n)
                for a, kind in zip(arguments, signature.args, strict=True)
            )
            return getattr(builder, name)(x, y)

        return generate

    for operation, name in instructions.items():
        infer_global(operation)(Arithmetic)
        for case in signatures:
            lower_builtin(operation, *case.args)(defined(name))
