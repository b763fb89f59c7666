"""What functions say of themselves: noted down, merged, and what is right by it."""

import pytest

import pgbench
from pgbench.declared.claims import Claims, Needs, claims_of, is_declared


def silent(batch):
    return batch.theta


def test_who_says_nothing_claims_to_be_unbiased():
    assert not is_declared(silent)
    claims = claims_of(silent)
    assert claims == Claims()
    assert claims.words == ""
    assert claims.covers(Needs())
    for other in (
        Needs("undiscounted_states"),
        Needs("natural"),
        Needs(scale="per_step"),
        Needs(accepts=frozenset({"critic"})),
    ):
        assert not claims.covers(other)


def test_two_decorators_are_one_declaration():
    @pgbench.subject(target="undiscounted_states", accepts={"in_sample_baseline", "critic"})
    @pgbench.estimates(objective={"objective": "kl", "beta": 0.5}, sampler="stale")
    def own(batch):
        return batch.theta

    claims = claims_of(own)
    assert is_declared(own)
    assert (claims.objective, claims.sampler) == ('{"objective": "kl", "beta": 0.5}', "stale")
    assert claims.accepts == {"batch", "critic"}
    assert claims.words == (
        "the target undiscounted_states; biases accepted: in_sample_baseline, critic"
    )
    assert claims.covers(Needs("undiscounted_states", accepts=frozenset({"critic"})))
    assert not claims.covers(Needs("discounted"))


@pytest.mark.parametrize(
    ("claimed", "right"),
    [
        ("exact", {"exact"}),
        ("per_step", {"exact", "per_step"}),
        ("per_token", {"exact", "per_step", "per_token"}),
        ("any", {"exact", "per_step", "per_token", "any"}),
    ],
)
def test_scales_cover_what_is_plainer(claimed, right):
    claims = Claims(scale=claimed)
    scales = ("exact", "per_step", "per_token", "any")
    assert {scale for scale in scales if claims.covers(Needs(scale=scale))} == right


def test_needs_are_written_as_the_declaration_that_fits():
    assert Needs("undiscounted_states").words == '@pgbench.subject(target="undiscounted_states")'
    both = Needs().also("per_step", {"batch"})
    assert both.words == ('@pgbench.subject(scale="per_step", accepts={"in_sample_baseline"})')
    claims = {}
    exec(f"import pgbench\n{both.words}\ndef f(batch): pass", claims)
    assert claims_of(claims["f"]).covers(both)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"target": "natural_gradient"}, "target is 'natural_gradient', did you mean natural"),
        ({"scale": "per_tokens"}, "scale is 'per_tokens', did you mean per_token"),
        ({"accepts": {"critics"}}, "accepts holds 'critics', did you mean critic"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"on_nan": "skip"}, "must be one of fail, count"),
        ({"target": "surrogate"}, "the target 'surrogate' needs an estimator"),
        ({"surrogate": "ppo"}, "no other target has one"),
    ],
)
def test_what_is_claimed_wrongly_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        pgbench.subject(**given)
