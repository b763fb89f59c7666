"""Kernels, and the parts that they are made of, as numba compiles them.

numba compiles every function to its end: optimised, as machine code, with two ways to call it from
outside, and again as a part of whatever calls it. What only kernels call needs none of that but the
last: its code as the front end made it is linked into that of its callers and optimised there,
once. Nor is a function compiled for the number 0, and for any other, as numba would.
"""

from functools import cached_property
from typing import Any

from numba import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher
from numba.core.sigutils import normalize_signature
from numba.core.targetconfig import ConfigStack
from numba.core.types import unliteral

from pgbench.kernels.keeping import release

ALWAYS = {"nopython": True, "boundscheck": None}


class Kept(CPUDispatcher):
    """A function whose compiled code is kept."""

    def compile(self, sig: Any) -> Any:
        """Compile or load a signature; whatever comes of it, others need not wait any longer."""
        try:
            # By its arguments alone, however it is asked for: code is kept by what is asked for.
            return super().compile(tuple(normalize_signature(sig)[0]))
        finally:
            release(self)


class Kernel(Kept):
    """A function that Python calls; other kernels take it as a part of theirs."""

    counts = True
    """Whether the function, as a part, counts references to arrays."""

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return types.Dispatcher(self.part)

    @cached_property
    def part(self) -> Any:
        """The function as other kernels take it."""
        own = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": self.counts}
        return Part(self.py_func, targetoptions=ALWAYS | own, pipeline_class=_PartCompiler)

    @classmethod
    def of(cls, function: Any, **options: Any) -> Any:
        """The function as a kernel, compiled when it is first called; with numba's options."""
        return cls(function, targetoptions=ALWAYS | options)


class Part(CPUDispatcher):
    """A function within kernels; nothing to be called by itself."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """As numba asks for it, of types of arguments; of a number that is known, of any.

        Raises
        ------
        TypeError
            An array would come from, or go to, a function that counts no references.
        """
        known = {name: unliteral(kind) for name, kind in kws.items()}
        found = super().get_call_template(tuple(map(unliteral, args)), known)
        own: Any = self.overloads[tuple(found[2])]
        returned = own.signature.return_type
        if self.targetctx.data_model_manager[returned].contains_nrt_meminfo() and not (
            self.targetoptions["_nrt"] and ConfigStack.top_or_none().nrt
        ):
            raise TypeError(
                f"{self.py_func.__name__} returns {returned}: "
                "it and what calls it must be kernels, and not parts"
            )
        return found


class _PartCompiler(Compiler):
    """Leaves a function as the front end made it."""

    def __init__(self, typing_context: Any, context: Any, library: Any, *others: Any) -> None:
        super().__init__(typing_context, context, library, *others)
        # The context is a copy for this function.
        own = self.state.targetctx
        own.get_executable = _nothing_to_call
        self.state.library = _Linked(own.codegen(), "part")


class _Linked(JITCodeLibrary):
    """Code that becomes part of others' and is neither optimised nor made machine code before."""

    def add_llvm_module(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


def _nothing_to_call(_library: Any, _description: Any, _environment: Any) -> Any:
    # numba asks for a function of C's that is like no other, and uses it as a name.
    return [].append
