"""What the compiler made of the kernels: ``python -m benchmarks.machine_code``.

Counts instructions in the machine code of single kernels, compiled for this processor, and prints
what of the loop that takes steps is on vectors.
"""

import os
import re
import tempfile

KINDS = {
    "all": r"\S",
    "512-bit": r"%zmm",
    "256-bit": r"%ymm",
    "64-bit lanes": r"^v\w+(q|pd)\b.*%[yz]mm",
    "gathers": r"^v\w*gather",
    "prefetches": r"^prefetch",
    "calls": r"^call",
}


def instructions(function):
    """Lines of assembly of what kernels use, by itself, without labels and directives."""
    for kinds in function.part.overloads:
        function.compile(kinds)
    (assembly,) = list(function.inspect_asm().values())[:1]
    lines = (line.split("#")[0].strip() for line in assembly.splitlines())
    return [line for line in lines if line and not line.startswith(".") and not line.endswith(":")]


def count(lines):
    """Number of instructions of each kind."""
    return {kind: sum(bool(re.search(p, line)) for line in lines) for kind, p in KINDS.items()}


def compiled():
    """The kernels, compiled by use; their code is not kept when it comes from a cache."""
    from pgbench import make_policy, make_problem
    from pgbench.api import sample_gradients
    from pgbench.kernels.finite import recursion, tape

    mdp = make_problem("garnet", n_states=10)
    policy = make_policy("softmax", mdp)
    sample_gradients(mdp, policy, policy.initial(), "reward_to_go", horizon=8, replicates=16)
    return {
        "tape.walk": tape.walk,
        "tape.advance": tape.advance,
        "recursion.weigh_group": recursion.weigh_group,
    }


def main():
    """Print the table and the loop."""
    with tempfile.TemporaryDirectory() as directory:
        os.environ["NUMBA_CACHE_DIR"] = directory
        functions = {name: instructions(f) for name, f in compiled().items()}
    print(f"{'':20}" + "".join(f"{kind:>14}" for kind in KINDS))
    for name, lines in functions.items():
        print(f"{name:20}" + "".join(f"{n:14}" for n in count(lines).values()))
    print("\ntape.walk, vector instructions:")
    for line in functions["tape.walk"]:
        if re.search("%[yz]mm", line):
            print(f"    {line}")


if __name__ == "__main__":
    main()
