"""What a file leaves open is settled by its owner's outputs; usual mistakes are named."""

import numpy as np
import pytest

from rnnatomy.networks.foreign import found, proof, ways
from rnnatomy.networks.foreign.raw import ForeignError

FEATURE, HIDDEN, CLASSES, FRAMES = 3, 4, 5, 6
GATES = {"lstm": 4, "gru": 3, "gru-before": 3, "elman": 1}


def drawn(rng, *shape):
    return rng.normal(size=shape)


def layer(rng, kind, feature):
    columns = GATES[kind] * HIDDEN
    arrays = drawn(rng, feature, columns), drawn(rng, HIDDEN, columns)
    return found.weights(kind, *arrays, drawn(rng, columns), drawn(rng, columns))


def planted(kind="gru", layers=2, both_ways=False, **changes):
    """Layers of random weights, two linear maps that may read them, one normalisation."""
    rng = np.random.default_rng(4)
    ways_on = 1 + both_ways
    fed = [FEATURE] + [ways_on * HIDDEN] * (layers - 1)
    sides = [tuple(layer(rng, kind, n) for n in fed) for _ in range(ways_on)]
    width = ways_on * HIDDEN
    heads = tuple(
        found.Head(name, drawn(rng, width, CLASSES), drawn(rng, CLASSES)) for name in ("fc", "aux")
    )
    norm = found.Norm("norm", drawn(rng, width), drawn(rng, width), 1e-5)
    kinds = ("elman", "elman-relu") if kind == "elman" else (kind,)
    given = {"kinds": kinds, "ahead": sides[0], "back": sides[1] if both_ways else None}
    return found.Found(**given | {"heads": heads, "norms": (norm, None)} | changes)


def examples(what, way, *, sequences=7):
    rng = np.random.default_rng(5)
    inputs = drawn(rng, sequences, FRAMES, FEATURE).astype(np.float32)
    lengths = rng.integers(2, FRAMES + 1, sequences)
    sums = ways.outputs(ways.build(what, way), inputs, lengths)
    return proof.Examples(inputs, lengths, ways.made(sums, way.output))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("both_ways", [False, True])
def test_the_way_that_was_planted_is_found(kind, both_ways):
    what = planted(kind, both_ways=both_ways)
    every = ways.ways(what)
    for place in np.random.default_rng(6).choice(len(every), 3, replace=False):
        shown = examples(what, every[place])
        network, found_proof = proof.prove(what, shown)
        assert found_proof.way is not None and found_proof.difference < 1e-6
        assert found_proof.sequences == len(shown.outputs) and found_proof.tried == len(every)
        again = ways.made(ways.outputs(network, shown.inputs, shown.lengths), every[place].output)
        np.testing.assert_allclose(again, shown.outputs, atol=1e-5)


def test_outputs_of_the_first_sequences_are_enough():
    what = planted()
    way = ways.ways(what)[0]
    shown = examples(what, way)
    _, found_proof = proof.prove(what, shown._replace(outputs=shown.outputs[:2]))
    assert found_proof.sequences == 2
    assert "2 sequences come out as their owner's" in str(found_proof)


def test_a_normalisation_over_a_training_set_is_part_of_the_readout():
    rng = np.random.default_rng(0)
    average = found.Norm("bn", *(drawn(rng, HIDDEN) for _ in range(2)), 1e-3,
                         drawn(rng, HIDDEN), drawn(rng, HIDDEN) ** 2)  # fmt: skip
    what = planted("lstm", norms=(average,))
    way = ways.ways(what)[0]
    network = ways.build(what, way)
    states = drawn(rng, 9, HIDDEN)
    scaled = (states - average.mean) / np.sqrt(average.variance + 1e-3)
    expected = (scaled * average.scale + average.offset) @ way.head.kernel + way.head.bias
    kernel, bias = (np.asarray(network.readout.kernel[...]), np.asarray(network.readout.bias[...]))
    np.testing.assert_allclose(states @ kernel + bias, expected, atol=1e-5)
    assert network.normalise is None


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gates_in_another_order_are_named(kind):
    what = planted(kind, norms=(None,))
    shown = examples(what, ways.ways(what)[0])
    order = {"lstm": "iofg", "gru": "zrn"}[kind]
    wrong = proof._reordered(what, kind, tuple(order))
    back = {"lstm": "i, g, o, f", "gru": "z, r, n"}[kind]
    undone = proof._reordered(wrong, kind, tuple(back.split(", ")))
    for name, array in what.ahead[0].items():
        np.testing.assert_array_equal(undone.ahead[0][name], array)
    with pytest.raises(ForeignError, match=f"would come out with the gates in the order {back}"):
        proof.prove(wrong, shown)


@pytest.mark.parametrize("kind, cell", [("gru", "gru-before"), ("gru-before", "gru")])
def test_the_other_convention_of_the_reset_gate_is_named(kind, cell):
    arrays = planted("gru", norms=(None,))
    zero = proof._with_each(arrays, lambda w: w | {"dense_h.bias": 0 * w["dense_h.bias"]})
    without = proof._with_each(
        zero, lambda w: {name: array for name, array in w.items() if name != "dense_h.bias"}
    )
    either = {"gru": zero, "gru-before": without._replace(kinds=("gru-before",))}
    shown = examples(either[cell], ways.ways(either[cell])[0])
    place = "before" if cell == "gru-before" else "after"
    with pytest.raises(ForeignError, match=f"come out with the reset gate {place} the product"):
        proof.prove(either[kind], shown)


def test_a_bias_that_was_dropped_and_frames_turned_are_named():
    what = planted("gru", norms=(None,), heads=planted().heads[:1])
    bare = proof._with_each(what, lambda w: w | {"dense_h.bias": 0 * w["dense_h.bias"]})
    shown = examples(bare, ways.ways(bare)[0])
    with pytest.raises(ForeignError, match="come out without the bias beside the recurrent matrix"):
        proof.prove(what, shown)
    turned = proof._backwards(examples(what, ways.ways(what)[0]))
    with pytest.raises(ForeignError, match="come out with frames from the last to the first"):
        proof.prove(what, turned)


def test_what_nothing_explains_is_refused_with_likely_causes():
    what = planted("lstm", unread=("conv.weight",))
    shown = examples(what, ways.ways(what)[0])
    with pytest.raises(
        ForeignError, match=r"a layer left out \(not read: conv.weight\), or"
    ) as caught:
        proof.prove(what, shown._replace(outputs=shown.outputs * 1.01))
    message = str(caught.value)
    assert "7 of 7 sequences differ by up to" in message and "first sequence 0" in message


def test_outputs_of_another_shape_or_not_numbers_are_refused():
    what = planted()
    shown = examples(what, ways.ways(what)[0])
    with pytest.raises(ForeignError, match=r"outputs have shape \(7, 4\): no readout"):
        proof.prove(what, shown._replace(outputs=shown.outputs[:, :4]))
    spoilt = shown.outputs.copy()
    spoilt[3] = np.nan
    with pytest.raises(
        ForeignError, match=r"1 of 7 sequences differ by up to inf.*first sequence 3"
    ):
        proof.prove(what, shown._replace(outputs=spoilt))


def test_choices_narrow_the_ways_and_unknown_ones_are_answered_with_the_known():
    what = planted()
    assert len(ways.ways(what)) == 2 * 2 * 4 * 4  # "ends" is "last" where layers read one way
    taken = ways.ways(what, ways.Choices(readout="aux", reads="mean", output="softmax"))
    assert {(w.head.name, w.reads, w.output) for w in taken} == {("aux", "mean", "softmax")}
    for name, known in {
        "readout": "'fc', 'aux'",
        "reads": "'last', 'each', 'mean'",
        "cell": "'gru-two",
    }.items():
        with pytest.raises(
            ForeignError, match=f"{name} 'x' is not in the file: choose from {known}"
        ):
            ways.ways(what, ways.Choices(**{name: "x"}))


def test_without_outputs_the_likeliest_way_is_taken_and_called_unproved():
    _, found_proof = proof.unproved(planted())
    assert found_proof.sequences == 0 and str(found_proof).startswith("UNPROVED")
    assert found_proof.way.reads == "last" and found_proof.way.output == "logits"


@pytest.mark.parametrize(
    "shapes, message",
    [
        (((3, 16), (4, 12)), "kernels of .* and .*, biases"),
        (((3, 12), (4, 16)), "do not fit each other"),
        (((3,), (4, 16)), "do not fit each other"),
        (((3, 16), (0, 16)), "do not fit each other"),
    ],
)
def test_kernels_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(ForeignError, match=message):
        found.weights("lstm", *(np.zeros(shape) for shape in shapes))


def test_layers_that_do_not_follow_each_other_are_refused():
    rng = np.random.default_rng(1)
    pair = (layer(rng, "lstm", 3), layer(rng, "lstm", 3))
    with pytest.raises(ForeignError, match="layer 1 reads 3 numbers, but the layer before gives 4"):
        found.check_chain(pair, None)
    with pytest.raises(ForeignError, match="some layers read both ways and some do not"):
        found.check_chain((pair[0],), pair)
    with pytest.raises(ForeignError, match="of several kinds: give layers of one kind"):
        found.check_chain((pair[0], layer(rng, "gru", 4)), None)
    assert found.check_chain((pair[0], layer(rng, "lstm", 4)), None) == 4
    with pytest.raises(ForeignError, match="no recurrent layer was found"):
        found.check_chain((), None)


def test_a_readout_of_several_layers_or_of_none_is_refused():
    rng = np.random.default_rng(2)
    first = found.Head("first", drawn(rng, HIDDEN, 9), drawn(rng, 9))
    second = found.Head("second", drawn(rng, 9, 2), drawn(rng, 2))
    with pytest.raises(ForeignError, match=r"the readout has several layers .'first', 'second'."):
        found.fitting([first, second], [], HIDDEN, ())
    with pytest.raises(ForeignError, match=r"no linear layer reads the 4 numbers .*'second'"):
        found.fitting([second], [], HIDDEN, ())


RESTLESS = (20, 150, 333)  # sequences that are long enough for a chaotic network to lose all digits


def restless():
    """A chaotic network: a hundred frames turn the last digit of a number into its first."""
    rng, width = np.random.default_rng(2), 24
    recurrent = 4 * drawn(rng, width, width) / np.sqrt(width)
    arrays = found.weights("elman", drawn(rng, FEATURE, width), recurrent, 0.1 * drawn(rng, width))
    head = found.Head("fc", drawn(rng, width, CLASSES) / np.sqrt(width), drawn(rng, CLASSES))
    return found.Found(("elman",), (arrays,), None, (head,))


def in_double(what, inputs, lengths):
    """What a loop in double precision makes of sequences, with weights of single precision."""
    (arrays,), (head,) = what.ahead, what.heads
    W, R, b, V, c = (
        np.asarray(array, np.float32).astype(float)
        for array in (
            *(arrays[name] for name in ("dense_i.kernel", "dense_h.kernel", "dense_i.bias")),
            *(head.kernel, head.bias),
        )
    )
    last = []
    for frames, end in zip(inputs.astype(float), lengths, strict=True):
        h = np.zeros(len(R))
        for x in frames[:end]:
            h = np.tanh(x @ W + h @ R + b)
        last.append(h)
    return np.array(last) @ V + c


def long_and_short(what, restless_ones):
    """Some hundred short sequences, and a few of a hundred frames, with what double gives."""
    rng = np.random.default_rng(1)
    inputs = 0.3 * drawn(rng, 400, 100, FEATURE).astype(np.float32)
    lengths = rng.integers(2, 6, len(inputs))
    lengths[list(restless_ones)] = 100
    return proof.Examples(inputs, lengths, in_double(what, inputs, lengths))


def test_a_few_sequences_may_differ_if_rounding_alone_moves_them():
    what = restless()
    shown = long_and_short(what, RESTLESS)
    network, found_proof = proof.prove(what, shown)
    given = ways.outputs(network, shown.inputs, shown.lengths)
    apart = np.abs(given - shown.outputs).max(axis=1) / np.abs(shown.outputs).max()
    assert np.flatnonzero(apart > proof.SINGLE).tolist() == list(RESTLESS)
    assert found_proof.unsteady == len(RESTLESS) and found_proof.sequences == 400
    steady = np.delete(apart, RESTLESS).max()
    assert found_proof.difference == pytest.approx(steady) and steady <= proof.SINGLE
    assert found_proof.way.reads == "last" and found_proof.way.output == "logits"
    said = str(found_proof)
    assert said.startswith("The outputs of 400 sequences come out as their owner's, to ")
    assert "Left out: 3 that the network itself answers differently when the last digit" in said


def test_nothing_is_left_out_where_all_come_out():
    what = restless()
    _, found_proof = proof.prove(what, long_and_short(what, ()))
    assert found_proof.unsteady == 0 and "Left out" not in str(found_proof)


@pytest.mark.parametrize("restless_ones", [(), RESTLESS])
@pytest.mark.parametrize("wrong", [5, 399])
def test_a_steady_sequence_that_differs_is_refused(restless_ones, wrong):
    what = restless()
    shown = long_and_short(what, restless_ones)
    shown.outputs[wrong, 1] += 1e-3
    count = 1 + len(restless_ones)
    first = min(wrong, *restless_ones, len(shown.outputs))
    with pytest.raises(ForeignError, match=f"{count} of 400 .* first sequence {first}, .* likely"):
        proof.prove(what, shown)


@pytest.mark.parametrize("count, refused", [(4, False), (5, True)])
def test_more_than_one_in_a_hundred_is_refused_however_unsteady(count, refused):
    what = restless()
    shown = long_and_short(what, range(100, 100 + count))
    if not refused:
        assert proof.prove(what, shown)[1].unsteady == count
        return
    with pytest.raises(ForeignError, match=r"5 of 400 sequences differ by .* first sequence 100"):
        proof.prove(what, shown)


def test_the_only_sequence_may_not_differ():
    what = restless()
    shown = long_and_short(what, RESTLESS)
    alone = proof.Examples(*(part[list(RESTLESS)[:1]] for part in shown))
    with pytest.raises(ForeignError, match="1 of 1 sequences differ"):
        proof.prove(what, alone)
