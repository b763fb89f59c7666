"""Declared parameters: what a signature accepts, how a mistake is said, and labels."""

from typing import Annotated, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.declared.parameters import (
    Choice,
    Later,
    ParameterError,
    Pattern,
    Range,
    bind,
    did_you_mean,
    label,
    parameters_of,
)
from pgbench.estimators import estimators
from pgbench.policies import kinds
from pgbench.problems import families


def maker(
    n_states: Annotated[int, Range(1, 9), "number of states"],
    noise: Annotated[float, Range(0), "size of the noise"] = 0.5,
    rule: Annotated[float | str, Range(0, 1), Choice(("auto", "fixed")), "rate or rule"] = "auto",
    loud: bool = False,
    options: dict[str, Any] | None = None,
    path: str = "",
    widths: Annotated[
        int | str, Range(1), Pattern(r"[1-9](x[1-9])*", "widths such as 3x2")
    ] = "3x2",
    added: Annotated[int, Later()] = 4,
):
    """Declare one parameter of every type."""


DECLARED = parameters_of(maker)
RECORDS = {
    **{f"problem {name}": record for name, record in families().items()},
    **{f"policy {name}": record for name, record in kinds().items()},
    **{f"estimator {name}": record for name, record in estimators().items()},
}


def test_signature_is_read():
    names = ["n_states", "noise", "rule", "loud", "options", "path", "widths", "added"]
    assert list(DECLARED) == names
    assert DECLARED["n_states"].required
    assert DECLARED["n_states"].meaning == "number of states"
    assert not DECLARED["noise"].required
    assert DECLARED["noise"].default == 0.5
    assert DECLARED["rule"].types == (float, str)
    assert DECLARED["options"].types == (dict,)
    assert [name for name, parameter in DECLARED.items() if parameter.later] == ["added"]
    assert parameters_of(maker, skip=6).keys() == {"widths", "added"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("n_states", "an integer in [1, 9]"),
        ("noise", "a number ≥ 0"),
        ("rule", "a number in [0, 1] or one of auto, fixed"),
        ("loud", "true or false"),
        ("options", "a mapping"),
        ("path", "a string"),
        ("widths", "an integer ≥ 1 or widths such as 3x2"),
    ],
)
def test_what_is_allowed_is_said_in_words(name, words):
    assert DECLARED[name].allowed == words


def test_defaults_are_filled_in():
    expected = {"noise": 0.5, "rule": "auto", "loud": False, "options": None, "path": ""}
    expected |= {"widths": "3x2", "added": 4}
    assert bind("m", DECLARED, {"n_states": 3}) == {"n_states": 3, **expected}


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("n_states", 9, 9),
        ("noise", 2, 2.0),
        ("rule", 1, 1.0),
        ("rule", "fixed", "fixed"),
        ("loud", True, True),
        ("options", {"a": 1}, {"a": 1}),
        ("widths", "4x5", "4x5"),
        ("widths", 4, 4),
        ("widths", "4", 4),
    ],
)
def test_allowed_values_are_taken(name, value, taken):
    result = DECLARED[name].check(value)
    assert result == taken
    assert type(result) is type(taken)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_states", 0),
        ("n_states", 10),
        ("n_states", 3.0),
        ("n_states", True),
        ("n_states", "3"),
        ("n_states", None),
        ("noise", -1e-9),
        ("noise", float("nan")),
        ("noise", float("inf")),
        ("noise", False),
        ("noise", 1j),
        ("rule", 1.5),
        ("rule", "automatic"),
        ("rule", ""),
        ("loud", 1),
        ("loud", "true"),
        ("options", ["a"]),
        ("path", 3),
        ("widths", "3x"),
        ("widths", ""),
        ("widths", 0),
        ("widths", "0"),
        ("widths", 1.5),
    ],
)
def test_wrong_values_are_refused_with_name_value_and_words(name, value):
    with pytest.raises(ParameterError) as caught:
        bind("m", DECLARED, {"n_states": 3, name: value})
    assert str(caught.value).startswith(f"m.{name}: {value!r} is ")
    assert str(caught.value).endswith(f"must be {DECLARED[name].allowed}")


def test_every_mistake_is_listed_at_once():
    with pytest.raises(ParameterError) as caught:
        bind("m", DECLARED, {"n_state": 3, "noise": -1, "rule": "atuo"})
    message = str(caught.value)
    assert "m.n_state: unknown parameter, did you mean n_states?" in message
    assert "m.n_states: missing, must be an integer in [1, 9]" in message
    assert "m.noise: -1 is out of range" in message
    assert "m.rule: 'atuo' is unknown, did you mean auto?" in message


def test_suggestions_are_made_only_where_something_is_close():
    assert did_you_mean("gama", ["gamma", "delta"]) == ", did you mean gamma?"
    assert did_you_mean("x", ["gamma", "delta"]) == ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"n_states": 3}, "m[n_states=3]"),
        ({"n_states": 3, "noise": 0.5, "rule": "auto"}, "m[n_states=3]"),
        ({"n_states": 3, "noise": 0.25, "loud": True}, "m[n_states=3, noise=0.25, loud=true]"),
        ({"n_states": 3, "options": {"a": 0.5}}, "m[n_states=3, options={a=0.5}]"),
        ({}, "m"),
    ],
)
def test_label_shows_what_is_not_the_default(values, expected):
    assert label("m", DECLARED, values) == expected


def accepted(name, value):
    try:
        DECLARED[name].check(value)
    except ParameterError:
        return False
    return True


@given(
    st.sampled_from([name for name in DECLARED]),
    st.one_of(
        st.booleans(),
        st.integers(-3, 12),
        st.floats(-2, 12).filter(lambda x: not x.is_integer()),
        st.sampled_from(["auto", "fixed", "other", "", "3x2", "x3", "12"]),
        st.just({}),
        st.none(),
        st.just([]),
    ),
)
def test_schema_accepts_what_the_check_accepts(name, value):
    schema = DECLARED[name].schema()
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(value) == accepted(name, value)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_every_default_is_allowed(record):
    for parameter in record.parameters.values():
        if not parameter.required and parameter.default is not None:
            assert parameter.check(parameter.default) == parameter.default
            jsonschema.validate(parameter.default, parameter.schema())
