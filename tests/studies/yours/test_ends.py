"""Where networks end whose maps are known in closed form."""

import numpy as np
import pytest
from scipy.optimize import brentq
from studies.yours import planting

from rnnatomy.networks import access, autonomous
from rnnatomy.studies.yours import ends

STEPS = 200


def one_unit(recurrent, given=0.0, read=1.0, cell="elman", reads="last"):
    """h <- f(recurrent h + given x), read as a number or, of each state, as the next frame."""
    return planting.zero(
        planting.stacked(1, [1], 1, cell=cell, reads=reads),
        **{
            "layer_0.dense_i.kernel": [[given]],
            "layer_0.dense_h.kernel": [[recurrent]],
            "readout.kernel": [[read]],
        },
    )


def task_of(network, inputs, lengths=None):
    targets = np.random.default_rng(2).normal(size=(len(inputs), network.config["classes"]))
    given = planting.data(inputs, lengths, targets=targets.astype(np.float32))
    if network.config["reads"] == "each":
        given = given._replace(targets=None)
    return planting.ask(network, given).task


def normal(*shape, size=1.0):
    return size * np.random.default_rng(3).normal(size=shape).astype(np.float32)


def fed_nothing(network, inputs):
    task, frame = task_of(network, inputs), np.zeros(network.config["feature"])
    return ends.ends(autonomous.driven(network, frame), task, STEPS)


def test_a_network_that_forgets_ends_in_one_place():
    task, run = planting.planted()
    found = ends.ends(autonomous.driven(run.network, np.zeros(4)), task, STEPS)
    assert ends.kinds(found) == ["fixed point"] and found["shares"].tolist() == [1]
    assert found["periods"].tolist() == [1] and found["leading"][0] == pytest.approx(np.log(1e-3))
    np.testing.assert_allclose(found["answers"], [[0, 0, 1, 1]], atol=1e-6)
    assert found["settled"].tolist() == [1] and found["away"].tolist() == [0]


def test_two_places_by_the_sign_of_the_state():
    inputs = normal(30, 4, 1)
    found = fed_nothing(one_unit(2.0, 1.0, 3.0), inputs)
    place = brentq(lambda h: np.tanh(2 * h) - h, 0.5, 1)
    assert ends.kinds(found) == ["fixed point"] * 2
    np.testing.assert_allclose(np.sort(found["answers"][:, 0]), [-3 * place, 3 * place], rtol=1e-5)
    np.testing.assert_allclose(found["leading"], np.log(2 * (1 - place**2)), rtol=1e-4)
    assert found["shares"].sum() == pytest.approx(1) and found["shares"][0] < 0.8


def test_a_sign_that_turns_each_step_is_a_cycle():
    found = fed_nothing(one_unit(-2.0, 1.0), normal(10, 4, 1))
    assert ends.kinds(found) == ["cycle of 2"] and found["periods"].tolist() == [2]


def test_a_network_that_runs_away_ends_nowhere():
    found = fed_nothing(one_unit(2.0, 1.0, cell="elman-relu"), 1 + normal(10, 4, 1) ** 2)
    assert ends.kinds(found) == [] and found["away"].tolist() == [1]
    assert found["answers"].shape == (0, 1) and found["leading"].shape == (0,)


def test_about_as_many_starts_as_are_wanted_are_spread_over_all():
    seen = []
    network = one_unit(0.5, 1.0)
    task = task_of(network, normal(100, 3, 1), np.arange(100) % 3 + 1)
    alone = autonomous.driven(network, np.zeros(1))

    def start(inputs):
        seen.append(inputs)
        return alone.start(inputs)

    found = ends.ends(alone._replace(start=start), task, STEPS)
    assert sum(map(len, seen)) == 50 and ends.kinds(found) == ["fixed point"]
    for inputs in seen:  # those of one length together
        rows = 2 * np.flatnonzero(task.lengths[::2] == inputs.shape[1])
        np.testing.assert_array_equal(inputs, task.inputs[rows, : inputs.shape[1]])


def test_each_start_follows_its_own_sequence():
    # where a sequence ends decides in which of two places its start ends
    network = one_unit(2.0, 1.0)
    inputs = normal(30, 4, 1)
    lengths = np.arange(30) % 4 + 1
    task = task_of(network, inputs, lengths)
    h = np.zeros(30)
    for frame in range(4):
        h = np.where(frame < lengths, np.tanh(2 * h + inputs[:, frame, 0]), h)
    found = ends.ends(autonomous.driven(network, np.zeros(1)), task, STEPS)
    share = np.mean(h > 0)
    expected = [share, 1 - share] if found["answers"][0, 0] > 0 else [1 - share, share]
    np.testing.assert_allclose(found["shares"], expected)


@pytest.mark.parametrize("scales", [[0.5], [0.3, 0.8]])
def test_along_inputs_a_linear_network_forgets_by_its_recurrent_scale(scales):
    network = planting.stacked(3, [4] * len(scales), 2, cell="elman")
    held = {"layer_0.dense_i.kernel": normal(3, 4)}
    for k, scale in enumerate(scales):
        # a turn, and that much shorter
        turn = np.linalg.qr(normal(4, 4))[0]
        held[f"layer_{k}.dense_h.kernel"] = scale * turn
    network = planting.zero(network, **held)
    task = task_of(network, normal(30, 40, 3, size=1e-4))
    found = ends.along(network, task)["along"]
    assert found.shape == (ends.FOLLOWED,)
    np.testing.assert_allclose(found, np.log(max(scales)), atol=0.05 if scales[1:] else 1e-5)


def test_the_longest_sequences_are_followed_up_to_the_end_of_the_shortest_of_them():
    network = one_unit(0.5, 1.0)
    lengths = np.array([3] * 10 + [9] * 15 + [7] * 10)
    task = task_of(network, normal(35, 9, 1), lengths)
    found = ends.along(network, task)["along"]
    assert len(found) == 20
    h, rates = np.zeros(20), []
    chosen = [*range(10, 25), *range(25, 30)]
    for frame in range(7):
        h = np.tanh(0.5 * h + task.inputs[chosen, frame, 0])
        rates.append(np.log(0.5 * (1 - h**2)))
    np.testing.assert_allclose(found, np.mean(rates, axis=0), rtol=1e-5)


def test_short_sequences_have_no_exponent():
    network = one_unit(0.5, 1.0)
    assert ends.along(network, task_of(network, normal(20, 4, 1)))["along"].shape == (0,)
    assert ends.along(network, task_of(network, normal(20, 5, 1)))["along"].shape == (20,)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_a_predictor_is_fed_its_own_answers_too(cell):
    network = one_unit(0.5, 0.6, 2.5, reads="each")
    if cell == "lstm":
        network = planting.stacked(1, [2], 1, cell="lstm", reads="each")
    task = task_of(network, normal(12, 6, 1))
    made = ends.measure(
        network.config, access.flatten(network), task, np.zeros(1), STEPS, True
    ).arrays
    assert {f"loop_{name}" for name in ("kinds", "periods", "shares", "answers")} <= set(made)
    if cell == "elman":
        # h <- tanh((0.5 + 0.6 * 2.5) h), and without frames h <- tanh(0.5 h)
        place = brentq(lambda h: np.tanh(2 * h) - h, 0.5, 1)
        assert ends.kinds(made, "loop_") == ["fixed point"] * 2
        np.testing.assert_allclose(np.abs(made["loop_answers"]), 2.5 * place, rtol=1e-5)
        assert ends.kinds(made) == ["fixed point"]
        np.testing.assert_allclose(made["leading"], np.log(0.5), rtol=1e-4)


def test_what_is_no_predictor_is_fed_no_answers():
    network = one_unit(0.5, 1.0)
    task = task_of(network, normal(12, 6, 1))
    given = network.config, access.flatten(network), task, np.zeros(1), STEPS
    made = ends.measure(*given, False).arrays
    assert set(made) == {"kinds", "periods", "shares", "leading", "answers", "settled", "away",
                         "along"}  # fmt: skip
    normed = planting.stacked(1, [2], 1, cell="gru", reads="each", norm=1e-3)
    given = normed.config, access.flatten(normed), task, np.zeros(1), STEPS
    assert set(ends.measure(*given, True).arrays) == set(made)


def test_both_ways_nothing_goes_on_by_itself():
    network = planting.stacked(3, [4], 2, cell="gru", both_ways=True)
    task = task_of(network, normal(12, 6, 3))
    made = ends.measure(network.config, access.flatten(network), task, np.zeros(3), STEPS, False)
    assert made.arrays == {}


def test_large_networks_are_left_alone_for_fewer_steps():
    def steps(cell, hidden, most=20_000):
        return ends.steps_for({"cell": cell, "hidden": hidden}, most)

    assert steps("gru", [64, 64]) == steps("lstm", [512]) == 20_000
    assert steps("lstm", [512, 512]) == steps("elman", [2048]) == 5000
    assert steps("lstm", [10_000]) == ends.LEAST
    assert steps("lstm", [10_000], 200) == steps("gru", [4], 200) == 200


def test_the_mean_frame_is_that_of_frames_that_count():
    task = planting.planted().task
    counts = np.arange(6) < task.lengths[:, None]
    spoilt = np.where(counts[..., None], task.inputs, 99).astype(np.float32)
    expected = np.concatenate([x[:n] for x, n in zip(task.inputs, task.lengths, strict=True)])
    found = ends.mean_frame(task._replace(inputs=spoilt))
    np.testing.assert_allclose(found, expected.mean(axis=0), atol=1e-6)
