import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import statistics, verdicts

NONE = np.zeros(100, bool)


def some(count, total=100):
    return np.arange(total) < count


@pytest.mark.parametrize(
    ("count", "total", "word"),
    [
        (100, 100, "always"),
        (990, 1000, "always"),
        (99, 100, "mostly"),
        (72, 72, "mostly"),
        (73, 73, "always"),
        (61, 100, "mostly"),
        (60, 100, "mostly"),
        (59, 100, "sometimes"),
        (26, 100, "sometimes"),
        (8, 100, "sometimes"),
        (20, 1000, "rarely"),
        (5, 5, "mostly"),
        (4, 5, "sometimes"),
        (2, 100, "not above chance"),
        (0, 100, "not above chance"),
    ],
)
def test_the_word_follows_from_counts(count, total, word):
    found = verdicts.judge_apart(some(count, total), np.zeros(total, bool))
    assert found.word == word
    assert (found.held, found.networks) == (count, total)


def test_two_of_a_hundred_are_above_a_control_of_a_thousand_networks_only():
    few, many = (verdicts.judge_apart(some(2), np.zeros(n, bool)) for n in (100, 3000))
    assert (few.word, many.word) == ("not above chance", "rarely")


def test_what_holds_as_often_under_the_control_is_not_above_chance():
    everywhere = np.ones(100, bool)
    assert verdicts.judge_paired(everywhere, everywhere).word == "not above chance"
    assert verdicts.judge_apart(some(60), some(55)).word == "not above chance"


def test_pairs_tell_more_than_networks_apart():
    holds, control = some(30, 40), some(22, 40)
    paired, apart = verdicts.judge_paired(holds, control), verdicts.judge_apart(holds, control)
    assert (paired.word, apart.word) == ("mostly", "not above chance")
    assert paired[1:5] == apart[1:5]
    assert paired.excess == statistics.paired_difference(holds, control)


def test_shares_of_draws_are_a_control():
    shares = np.full(100, 0.25)
    found = verdicts.judge_paired(some(50), shares)
    assert found.control == statistics.proportion(25, 100)
    assert found.word == "sometimes"


@given(st.integers(0, 60), st.integers(0, 60))
def test_words_agree_with_the_intervals(count, chance):
    found = verdicts.judge_apart(some(count, 60), some(chance, 60))
    above = found.excess.low > 0
    assert (found.word == "not above chance") == (not above)
    if found.word == "mostly":
        assert found.share.low > 0.5 and found.share.low <= 0.95
    if found.word == "rarely":
        assert found.share.high < 0.1
    assert found.word in verdicts.RULES


def test_a_claim_without_a_control_says_why():
    found = verdicts.judge_alone(some(100), "there is nothing to hold it against")
    assert found.word == "always"
    assert (found.control, found.excess) == (None, None)
    with pytest.raises(ValueError, match=r"^reason is empty: say why"):
        verdicts.judge_alone(some(100), " ")


def test_a_proposal_keeps_its_numbers():
    judged = verdicts.judge_paired(some(100), NONE)
    proposed = verdicts.as_proposal(judged)
    assert proposed.word == "a proposal" and proposed[1:] == judged[1:]


def test_the_rule_is_told_as_it_is_applied():
    told = verdicts.__doc__
    assert [w for w in verdicts.RULES if w not in told] == []
    limits = {verdicts.ALWAYS, verdicts.MOSTLY, verdicts.RARELY}
    assert {float(n) for n in re.findall(r"lies (?:above|below) (0\.\d+)", told)} == limits
    rules = " ".join(verdicts.RULES.values())
    assert {float(n) for n in re.findall(r"lies (?:above|below) (0\.\d+)", rules)} == limits


@pytest.mark.parametrize(
    ("holds", "control", "words"),
    [
        ([0.5, 1], [0, 1], r"^0\.5 in holds is not allowed: give true or false\.$"),
        ([0, 1], [0, 1.5], r"^1\.5 in control is out of range: give 0 to 1\.$"),
        ([], [0, 1], r"^shape \(0,\) of holds does not fit"),
        ([0, 1], [np.nan, 1], r"^NaN or infinity in control"),
    ],
)
@pytest.mark.parametrize("judge", [verdicts.judge_apart, verdicts.judge_paired])
def test_bad_claims_are_refused(judge, holds, control, words):
    with pytest.raises(ValueError, match=words):
        judge(np.array(holds), np.array(control))


def test_pairs_of_other_networks_are_refused():
    with pytest.raises(ValueError, match=r"^2 and 3 networks do not make pairs"):
        verdicts.judge_paired(np.array([0, 1]), np.array([0, 1, 1]))
