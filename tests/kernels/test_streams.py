"""Random streams: published vectors, numpy's own Philox, and the plain reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgbench.kernels import reference
from pgbench.kernels.streams import LANES, next_words, philox4x64, seed_lane

WORD = st.integers(0, 2**64 - 1)
ONES = 2**64 - 1

KNOWN = {
    "zeros": (
        (0, 0, 0, 0),
        (0, 0),
        (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
    ),
    "ones": (
        (ONES, ONES, ONES, ONES),
        (ONES, ONES),
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ),
    "digits of pi": (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
}
XOSHIRO = (
    41943041,
    58720359,
    3588806011781223,
    3591011842654386,
    9228616714210784205,
    9973669472204895162,
    14011001112246962877,
    12406186145184390807,
    15849039046786891736,
    10450023813501588000,
)


def compiled_philox(counter, key):
    return tuple(int(word) for word in philox4x64(*map(np.uint64, (*counter, *key))))


@pytest.mark.parametrize("philox", [compiled_philox, reference.philox4x64])
@pytest.mark.parametrize("vector", KNOWN)
def test_philox_known_answers(philox, vector):
    """Random123, tests/kat_vectors, philox4x64 with 10 rounds (Salmon et al. 2011)."""
    counter, key, expected = KNOWN[vector]
    assert philox(counter, key) == expected


@given(st.integers(0, 2**256 - 2), st.tuples(WORD, WORD))
def test_philox_is_that_of_numpy(start, key):
    """numpy increments the counter before the first block."""
    before = np.array([start >> shift & ONES for shift in (0, 64, 128, 192)], np.uint64)
    counter = [start + 1 >> shift & ONES for shift in (0, 64, 128, 192)]
    raw = np.random.Philox(counter=before, key=np.array(key, np.uint64)).random_raw(4)
    expected = tuple(int(word) for word in raw)
    assert compiled_philox(counter, key) == expected
    assert reference.philox4x64(counter, key) == expected


def lanes_of(states):
    """Generators with given states (LANES, 4), and room for their words."""
    return np.append(np.array(states, np.uint64).T.ravel(), np.zeros(LANES, np.uint64))


def test_xoshiro_known_answers():
    """The first outputs of xoshiro256++ from the state {1, 2, 3, 4} (Blackman & Vigna 2021)."""
    plain = [1, 2, 3, 4]
    lanes = lanes_of([plain] * LANES)
    for expected in XOSHIRO:
        next_words(lanes)
        assert lanes[4 * LANES :].tolist() == [expected] * LANES
        assert reference.xoshiro256pp(plain) == expected


@given(st.lists(st.tuples(WORD, WORD, WORD, WORD), min_size=LANES, max_size=LANES))
def test_lanes_are_independent_generators(states):
    lanes, plain = lanes_of(states), [list(state) for state in states]
    for _ in range(3):
        next_words(lanes)
        assert lanes[4 * LANES :].tolist() == [reference.xoshiro256pp(state) for state in plain]
    assert lanes[: 4 * LANES].reshape(4, LANES).T.tolist() == plain


def test_seeding_is_the_block_of_the_trajectory():
    """Counter (trajectory, replicate, batch size, 0) under the key (seed, stream)."""
    lanes = np.zeros(4 * LANES, np.uint64)
    seed_lane(lanes, 1, np.uint64(7), np.uint64(2**63 + 1), 5, 3, 20)
    expected = reference.philox4x64((3, 5, 20, 0), (7, 2**63 + 1))
    states = lanes.reshape(4, LANES).T
    assert tuple(states[1].tolist()) == expected
    assert not np.delete(states, 1, axis=0).any()


def test_every_name_of_a_stream_matters():
    names = [(7, 9, 5, 3, 20)] + [
        tuple(x + (i == k) for i, x in enumerate((7, 9, 5, 3, 20))) for k in range(5)
    ]
    lanes = np.zeros(4 * LANES, np.uint64)
    for lane, (seed, stream, replicate, trajectory, batch) in enumerate(names):
        seed_lane(lanes, lane, np.uint64(seed), np.uint64(stream), replicate, trajectory, batch)
    states = lanes.reshape(4, LANES).T[: len(names)]
    assert len({tuple(state) for state in states.tolist()}) == len(names)
