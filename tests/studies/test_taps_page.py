import numpy as np
import pytest

from rnnatomy.networks import runs
from rnnatomy.store import results
from rnnatomy.studies import taps_page


@pytest.fixture(scope="module")
def some():
    published = results.load_study("gates").data
    return published["images"].to_numpy() / np.float32(255), published["labels"].to_numpy()


def test_held_gates_leave_what_numpy_reads_with_them(some):
    """The forget gate at its timer, and all three at 1, written out step by step."""
    run, (images, labels) = runs.load_run("mnist-0"), some
    found = taps_page.held(run, images[:40], labels[:40], np.random.default_rng(0))
    kernel, recurrent = (run.parameters[f"cell.dense_{x}.kernel"] for x in "ih")
    bias = run.parameters["cell.dense_h.bias"]

    def read(inputs, forget=None, opened=False):
        h = c = np.zeros((len(inputs), 128))
        timer = []
        for t in range(28):
            i, f, g, o = np.split(inputs[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
            i, f, o = (1 / (1 + np.exp(-x)) for x in (i, f, o))
            timer.append(f.mean(axis=0))
            f = f if forget is None else forget[t]
            i, f, o = (1.0, 1.0, 1.0) if opened else (i, f, o)
            c = f * c + i * np.tanh(g)
            h = o * np.tanh(c)
        return (h @ run.readout.T + run.bias).argmax(axis=1), timer

    odd = images[1:40:2], labels[1:40:2]
    forget = read(images[:40:2])[1]
    assert float(found["whole"]) == np.mean(read(odd[0])[0] == odd[1])
    at = found["accuracy"]
    assert float(at.sel(held="f", way="timer")) == np.mean(read(odd[0], forget)[0] == odd[1])
    means = found["opened"].sel(gate="f").to_numpy()
    np.testing.assert_allclose(means, np.mean(forget, axis=1), atol=1e-5)
    every = read(odd[0], opened=True)[0]
    assert float(at.sel(held="ifo", way="open")) == np.mean(every == odd[1])


def test_shut_gates_leave_one_answer(some):
    run, (images, labels) = runs.load_run("mnist-1"), some
    found = taps_page.held(run, images, labels, np.random.default_rng(0))
    shut = found["accuracy"].sel(way="shut", held=["i", "o", "ifo", "g"])
    one = np.mean(labels[1::2] == run.bias.argmax())
    np.testing.assert_allclose(shut, one)
