"""Verdicts on claims, graded by one rule, with the fraction under a control beside each.

A claim is tested in several networks, and in each it holds or not. Its *share* is the fraction of
networks in which it holds. The *control* is the same fraction where the claim could hold by chance
only: other directions, untrained networks, shuffled data. The *excess* is the difference of the
two. All three have 95% intervals. The word of a verdict follows from these by ``RULES``, read from
top to bottom, and from nothing else:

    not above chance   the interval of the excess does not lie above 0
    always             the interval of the share lies above 0.95
    mostly             it lies above 0.5
    rarely             it lies below 0.1
    sometimes          anything else

An interval that is wide takes a weaker word: "always" needs 73 networks without an exception, and
five of five are "mostly". A claim without a control cannot be above chance, and so needs one; where
a control has no meaning, the verdict says why. What a study proposed but did not claim is
"a proposal", and keeps its numbers.
"""

from typing import NamedTuple

from rnnatomy.analysis import checks, statistics
from rnnatomy.analysis.statistics import Holds, Interval

ALWAYS = 0.95
"""Above this lies the interval of the share of a claim that always holds."""

MOSTLY = 0.5
"""Above this, of one that mostly holds."""

RARELY = 0.1
"""Below this, of one that rarely holds."""

RULES = {
    "not above chance": "the interval of the difference between the claim's fraction and the "
    "control's does not lie above 0",
    "always": f"above chance, and the interval of the fraction lies above {ALWAYS}",
    "mostly": f"above chance, and it lies above {MOSTLY}",
    "rarely": f"above chance, and it lies below {RARELY}",
    "sometimes": "above chance, and none of these",
    "a proposal": "the study proposed it, and did not claim it",
}
"""When each word is given, in the order in which they are asked."""


class Verdict(NamedTuple):
    """What became of a claim.

    Attributes:
        word: one of ``RULES``.
        networks: in how many it was tested.
        held: in how many of them it holds.
        share: fraction of networks in which it holds.
        control: the same under the control; None if there is none.
        excess: how much the share is above the control; None if there is none.
        reason: why there is no control; "" if there is one.
    """

    word: str
    networks: int
    held: int
    share: Interval
    control: Interval | None
    excess: Interval | None
    reason: str


def judge_paired(holds: Holds, control: Holds) -> Verdict:
    """Judge a claim by a control in the same networks.

    Args:
        holds: whether the claim holds in each network.
        control: whether it holds there under the control; or, where the control was drawn several
            times, the share of draws in which it does; or its known chance, such as one half.

    Raises:
        ValueError: as ``statistics.paired_difference``; or if the claim is neither true nor false
            in a network.
    """
    share, under = _share(holds), _proportion("control", control)
    return _judge(holds, share, under, statistics.paired_difference(holds, control))


def judge_apart(holds: Holds, control: Holds) -> Verdict:
    """Judge a claim by a control in other networks, of which there may be more or fewer.

    Args:
        holds: whether the claim holds in each network.
        control: whether it holds in each network of the control, or the share of draws.

    Raises:
        ValueError: if there is no network, a number is no fraction, or the claim is neither true
            nor false in a network.
    """
    share, under = _share(holds), _proportion("control", control)
    return _judge(holds, share, under, statistics.difference(share, under))


def judge_alone(holds: Holds, reason: str) -> Verdict:
    """Judge a claim for which a control has no meaning.

    Args:
        holds: whether the claim holds in each network.
        reason: why there is no control, in words.

    Raises:
        ValueError: if there is no network, the claim is neither true nor false in one, or no
            reason is given.
    """
    if not reason.strip():
        raise ValueError("reason is empty: say why a control has no meaning, or give one.")
    share = _share(holds)
    return Verdict(_word(share), len(holds), int(sum(holds)), share, None, None, reason)


def as_proposal(verdict: Verdict) -> Verdict:
    """Return the verdict on what a study proposed and did not claim; its numbers stay."""
    return verdict._replace(word="a proposal")


def _judge(holds: Holds, share: Interval, control: Interval, excess: Interval) -> Verdict:
    word = _word(share) if excess.low > 0 else "not above chance"
    return Verdict(word, len(holds), int(sum(holds)), share, control, excess, "")


def _word(share: Interval) -> str:
    if share.low > ALWAYS:
        return "always"
    if share.low > MOSTLY:
        return "mostly"
    return "rarely" if share.high < RARELY else "sometimes"


def _share(holds: Holds) -> Interval:
    values = checks.numbers("holds", holds, "network")
    for value in values[(values != 0) & (values != 1)][:1]:
        raise ValueError(f"{value} in holds is not allowed: give true or false.")
    return statistics.proportion(int(values.sum()), len(values))


def _proportion(name: str, shares: Holds) -> Interval:
    values = checks.numbers(name, shares, "network")
    for value in values[(values < 0) | (values > 1)][:1]:
        raise ValueError(f"{value} in {name} is out of range: give 0 to 1.")
    return statistics.proportion(float(values.sum()), len(values))
