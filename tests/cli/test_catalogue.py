"""What is declared in words: formulas say what parameters make of an estimator."""

from dataclasses import replace

import pytest
from matplotlib.mathtext import MathTextParser

from pgbench.ascent import algorithms
from pgbench.cli.catalogue import formulas, plain_formula
from pgbench.estimators import estimators
from pgbench.estimators.parts.variants import others

GAMMA = r"\gamma^t "

UNWRITTEN = {
    # What these change is not part of what the formula says: how a critic is learned, or from what.
    "critic", "method", "data",
}  # fmt: skip


def records():
    """Every record whose formula may depend on parameters."""
    return {**estimators(), **algorithms()}


@pytest.mark.parametrize("name", [n for n, r in records().items() if "discounted" in r.parameters])
def test_without_the_discount_a_formula_has_no_power_of_it(name):
    record = records()[name]
    written = formulas(record.formula, record.parameters)
    assert GAMMA in written[""]
    assert written["discounted=false"] == written[""].replace(GAMMA, "", 1)


@pytest.mark.parametrize("name", estimators())
def test_formulas_follow_words_and_switches(name):
    """Every value of a parameter that is one of a few has a formula of its own."""
    estimator = estimators()[name]
    for p in estimator.parameters.values():
        if p.name not in UNWRITTEN:
            texts = [estimator.written(**{p.name: value}) for value in others(p)]
            assert len({estimator.written(), *texts}) == 1 + len(texts), p.name


@pytest.mark.parametrize("name", [n for n, e in estimators().items() if "clip" in e.parameters])
def test_formulas_show_the_clip(name):
    estimator = estimators()[name]
    assert "0.37" in estimator.written(clip=0.37)
    assert "0.37" not in estimator.written()


@pytest.mark.parametrize("name", ["reinforce", "reward_to_go"])
def test_formulas_show_the_baseline(name):
    estimator = estimators()[name]
    assert "b" not in plain_formula(estimator.written()).replace("Σ", "")
    assert estimator.written(baseline=-7.0).endswith("b = -7")
    assert r"J(\theta)" in estimator.written(baseline="objective")


@pytest.mark.parametrize("name", records())
def test_every_formula_can_be_set(name):
    """As the report does."""
    record = records()[name]
    parser = MathTextParser("path")
    for text in formulas(record.formula, record.parameters).values():
        assert parser.parse(f"${text}$").width > 0


def test_a_formula_of_a_users_own_may_be_plain_text():
    own = replace(estimators()["td"], formula="x")
    assert own.written(discounted=False) == "x"
