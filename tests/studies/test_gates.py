import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import controls, gates, pod, ranks, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs
from rnnatomy.store import checkout, disk, results
from rnnatomy.studies import gates as gate_study

HIDDEN = 6
ONE_IMAGE = 1.001 / 890
"""Of the smallest class of MNIST's test part: what differs when one image is read otherwise."""


@pytest.fixture(scope="module")
def published():
    return results.load_study("gates")


def a_run(name, seed):
    """A network that is not what its seed alone would make."""
    model = models.Classifier(8, HIDDEN, 10, rngs=nnx.Rngs(seed))
    for path in ("dense_i", "dense_h"):
        kernel = getattr(model.cell, path).kernel
        kernel[...] = kernel[...] + jax.random.normal(jax.random.key(seed + 1), kernel.shape)
    parameters = access.flatten(model)
    return runs.Run(name, "Classifier", parameters, {}, {"seed": seed})


def tiny(patch, folder, data):
    patch.setattr(checkout, "ROOT", folder)
    patch.setattr(datasets, "mnist", lambda: data)
    patch.setattr(gate_study, "OTHERS", ("other-0",))
    patch.setattr(gate_study, "RANKS", {"input": (0, 2), "recurrent": (0, 3)})
    patch.setattr(gate_study, "ENERGIES", (0.5, 0.9))
    patch.setattr(gate_study, "SHARES", (0.5,))
    patch.setattr(gate_study, "FOLLOWED", 60)
    patch.setattr(gate_study, "SHOWN", 3)
    patch.setattr(gate_study, "CALL", 4)


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("gates"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        for seed, name in enumerate(("mnist-0", "mnist-1", "other-0")):
            runs.save_run(folder / "results" / name, a_run(name, seed))
        gate_study.publish(2, lines.append)
        found = results.load_study("gates")
    return folder, found, lines


def by_hand(run, matrices, images):
    """The classifier in plain NumPy."""
    h = c = np.zeros((len(images), HIDDEN))
    biases = np.split(run.parameters["cell.dense_h.bias"], 4)
    for x in images.swapaxes(0, 1):
        i, f, g, o = (
            x @ matrices[f"input {gate}"].T + h @ matrices[f"recurrent {gate}"].T + b
            for gate, b in zip("ifgo", biases, strict=True)
        )
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    return (h @ run.readout.T + run.bias).argmax(axis=1)


def some_cuts(run):
    parts = ranks.decompose(access.matrices(runs.restore(run)))
    kept = [{}, {"input g": 1}, {"recurrent f": 0, "recurrent o": 2}]
    return [ranks.low_rank(parts, each) for each in kept]


@pytest.mark.parametrize("together", [1, 2, 8])
def test_recalls_are_those_of_the_network_with_other_matrices(small, monkeypatch, together):
    monkeypatch.setattr(gate_study, "CALL", together)
    run, (images, labels) = a_run("a", 3), small.test
    cuts = some_cuts(run)
    found = gate_study.recalls(runs.restore(run), small.test, cuts)
    right = np.array([by_hand(run, cut, images) == labels for cut in cuts])
    expected = [[row[labels == k].mean() for k in range(10)] for row in right]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(found, axis=0)) == 3
    np.testing.assert_allclose(gate_study.accuracy(found, labels), right.mean(axis=1))


def test_a_model_keeps_its_own_matrices(small):
    run = a_run("a", 3)
    model = runs.restore(run)
    gate_study.recalls(model, small.test, some_cuts(run))
    for name, array in access.flatten(model).items():
        np.testing.assert_array_equal(array, run.parameters[name])


def test_matrices_are_taken_from_any_lstm_of_a_run():
    model = models.Seq2Seq(3, 4, cell="lstm", tied=False, rngs=nnx.Rngs(0))
    run = runs.Run("pair", "Seq2Seq", access.flatten(model), {}, {})
    encoder, decoder = (access.matrices(runs.restore(run), cell) for cell in ("encoder", "decoder"))
    assert encoder["input o"].shape == (4, 3) and encoder["recurrent o"].shape == (4, 4)
    kernel = np.asarray(model.decoder.dense_h.kernel[...])
    np.testing.assert_array_equal(decoder["recurrent o"], kernel[:, 12:].T)
    with pytest.raises(ValueError, match="'pair' has no LSTM 'cell': it has"):
        access.matrices(runs.restore(run))


def test_a_run_gets_other_matrices_and_keeps_the_rest():
    run, rng = a_run("a", 0), np.random.default_rng(0)
    changed = {
        name: rng.normal(size=m.shape) for name, m in access.matrices(runs.restore(run)).items()
    }
    other = restore.with_matrices(run, changed)
    for name, matrix in restore.matrices(other).items():
        np.testing.assert_allclose(matrix, changed[name], rtol=1e-6)
    kept = run.parameters.keys() - {"cell.dense_i.kernel", "cell.dense_h.kernel"}
    assert kept and all(other.parameters[name] is run.parameters[name] for name in kept)
    assert all(array.dtype == np.float32 for array in other.parameters.values())
    assert (access.matrices(runs.restore(run))["input i"] != changed["input i"]).any()


def test_matrices_of_another_cell_are_refused():
    run = a_run("a", 0)
    whole = access.matrices(runs.restore(run))
    with pytest.raises(ValueError, match=r"has no LSTM 'decoder'"):
        restore.with_matrices(run, whole, "decoder")
    with pytest.raises(ValueError, match=r"the matrices are \['input f'"):
        restore.with_matrices(run, {k: m for k, m in whole.items() if k != "input i"})
    wide = {k: m if "recurrent" in k else np.ones((HIDDEN, 9)) for k, m in whole.items()}
    with pytest.raises(ValueError, match=r"input matrices of 'cell' have the shape \(24, 8\)"):
        restore.with_matrices(run, wide)


def test_the_study_has_rows_for_whole_networks_and_for_others(study):
    _, found, lines = study
    assert found.provenance["runs"] == ["mnist-0", "mnist-1", "other-0"]
    assert found.provenance["energies"] == [0.5, 0.9]
    arrays = found.arrays
    shapes = {
        "input_spectra": (3, 5, 4, 6),
        "recurrent_spectra": (3, 5, 4, 6),
        "kept": (3, 8),
        "full_test": (3, 10),
        "energy_ranks": (3, 2, 8),
        "energy_control": (3, 2, 10),
        "share_validation": (3, 1, 10),
        "each_test": (2, 8, 2, 10),
        "each_control": (2, 8, 2, 10),
        "smallest_ranks": (2, 2, 8),
        "means": (2, 10, 8, 3),
        "untrained_fisher": (2, 8),
        "lie": (2, 6, 6),
        "forget_rows": (2, 3, 8, 6),
        "probe": (2, 4),
        "images": (30, 8, 8),
    }
    assert {name: arrays[name].shape for name in shapes} == shapes
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert [line.split(":")[0] for line in lines] == ["mnist-0", "mnist-1", "other-0"]
    assert "3 of 3; at most 0 min left" in lines[-1]


def test_nothing_is_left_of_a_matrix_at_rank_zero(study, small):
    arrays = study[1].arrays
    np.testing.assert_array_equal(arrays["each_test"][:, :, 0], arrays["each_control"][:, :, 0])
    run = a_run("mnist-1", 1)
    cut = access.matrices(runs.restore(run)) | {"recurrent i": np.zeros((HIDDEN, HIDDEN))}
    right = by_hand(run, cut, small.test.images) == small.test.labels
    again = gate_study.accuracy(arrays["each_test"][1].astype(float), small.test.labels)
    assert again[4, 0] == pytest.approx(right.mean(), abs=1e-6)


def test_the_control_loses_as_much_as_each_cutoff(small, monkeypatch):
    run, told = a_run("a", 3), []

    def recorded(rng, matrix, lost):
        told.append(lost)
        return matrix

    monkeypatch.setattr(controls, "remove_random", recorded)
    monkeypatch.setattr(gate_study, "RANKS", {"input": (0, 2), "recurrent": (1, HIDDEN)})
    trained = access.matrices(runs.restore(run))
    found = gate_study.single_cutoffs(runs.restore(run), trained, small, np.random.default_rng(0))
    full = gate_study.recalls(runs.restore(run), small.test, [trained])[0]
    assert np.ptp(found["each_control"] - full.astype(np.float32)) < 1e-6
    assert np.ptp(found["each_test"] - full.astype(np.float32)) > 0.1
    for name, lost in zip(gates.MATRICES, np.reshape(told, (8, 2)), strict=True):
        s = svd.svd(trained[name]).s
        kept = gate_study.RANKS[name.split()[0]]
        expected = [np.square(s[rank:]).sum() / np.square(s).sum() for rank in kept]
        np.testing.assert_allclose(lost, expected, atol=1e-6)


def test_a_summary_says_what_the_whole_study_says(study, small, monkeypatch):
    tiny(monkeypatch, study[0], small)
    monkeypatch.setattr(gate_study, "FOLLOWED", len(small.test.labels))
    run, arrays = a_run("mnist-1", 1), study[1].arrays
    found = gate_study.summary(run, small)
    np.testing.assert_array_equal(found["kept"], arrays["kept"][1])
    np.testing.assert_array_equal(found["full"], arrays["full_test"][1])
    np.testing.assert_array_equal(found["energy_ranks"], arrays["energy_ranks"][1].sum(axis=1))
    for name in ("energy_test", "energy_control"):
        np.testing.assert_allclose(found[name], arrays[name][1], atol=ONE_IMAGE)
    for name, matrix in access.matrices(runs.restore(run)).items():
        place, s = gates.MATRICES.index(name), np.linalg.svd(matrix, compute_uv=False)
        share = s / s.sum()
        effective = np.exp(-(share * np.log(share)).sum())
        assert found["effective"][0, place] == pytest.approx(effective, rel=1e-4)
        stable = np.square(matrix).sum() / s[0] ** 2
        assert found["stable"][0, place] == pytest.approx(stable, rel=1e-4)
    assert found["effective"].shape == found["stable"].shape == (5, 8)


def test_the_smallest_ranks_are_measured_on_both_parts(study, small):
    run, arrays = a_run("mnist-1", 1), study[1].arrays
    parts = ranks.decompose(access.matrices(runs.restore(run)))
    for way, kept in enumerate(arrays["smallest_ranks"][1].astype(int).tolist()):
        cut = ranks.low_rank(parts, dict(zip(gates.MATRICES, kept, strict=True)))
        for name, part in {"test": small.test, "validation": small.validation}.items():
            right = by_hand(run, cut, part.images) == part.labels
            recall = arrays[f"smallest_{name}"][:, way].astype(float)
            assert gate_study.accuracy(recall, part.labels)[1] == pytest.approx(right.mean())


def test_the_smallest_ranks_cost_no_more_than_is_allowed(study, small):
    arrays, labels = study[1].arrays, small.validation.labels
    full = gate_study.accuracy(arrays["full_validation"][:2].astype(float), labels)
    left = gate_study.accuracy(arrays["smallest_validation"].astype(float), labels)
    assert (left >= (1 - gate_study.ALLOWED) * full[:, None] - 1e-6).all()
    totals = arrays["smallest_ranks"].sum(axis=2)
    assert (totals[:, 1] <= totals[:, 0]).all() and (totals[:, 0] <= 8 * HIDDEN).all()


def test_paths_are_those_of_the_states(study, small):
    run, arrays = a_run("mnist-0", 0), study[1].arrays
    states = np.asarray(runs.restore(run).states(jnp.asarray(small.test.images)))
    np.testing.assert_allclose(
        access.hidden_states(runs.restore(run), small.test.images), states, atol=1e-6
    )
    right = (states @ run.readout.T + run.bias).argmax(axis=2) == small.test.labels[:, None]
    np.testing.assert_allclose(arrays["read"][0], right.mean(axis=0), atol=1e-6)
    # with all modes, the readout reads the state itself
    assert arrays["read_in_modes"][0, -1] == pytest.approx(right[:, -1].mean())
    np.testing.assert_allclose(arrays["lie"][0].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(arrays["energies"][0].sum(), 1, atol=1e-5)


def test_the_readout_of_few_modes_reads_projected_states(study, small):
    run = a_run("mnist-0", 0)
    states = access.hidden_states(runs.restore(run), small.test.images)
    basis = pod.pod(states, centred=True)
    few = basis._replace(modes=basis.modes[:2])
    last = pod.reconstruct(few, pod.project(few, states[:, -1]))
    right = (last @ run.readout.T + run.bias).argmax(axis=1) == small.test.labels
    assert study[1].arrays["read_in_modes"][0, 2 - 1] == pytest.approx(right.mean())


def test_classes_do_not_part_where_no_state_differs():
    states = np.zeros((20, 3, HIDDEN), np.float32)
    states[:, 2] = np.random.default_rng(0).normal(size=(20, HIDDEN))
    part = datasets.Split(states, np.arange(20, dtype=np.int32) % 10)
    fisher = gate_study.measure_paths(a_run("a", 0), part, states)["fisher"]
    assert fisher[:2].tolist() == [0, 0] and fisher[2] > 0


def test_the_images_to_be_shown_are_the_first_of_each_digit(study, small):
    arrays = study[1].arrays
    assert np.bincount(arrays["labels"]).tolist() == [3] * 10
    numbers = arrays["image_numbers"]
    np.testing.assert_array_equal(small.test.labels[numbers], arrays["labels"])
    np.testing.assert_allclose(arrays["images"] / 255, small.test.images[numbers], atol=0.002)
    for digit in range(10):
        first = np.flatnonzero(small.test.labels == digit)[:3]
        np.testing.assert_array_equal(numbers[arrays["labels"] == digit], first)


def test_an_interrupted_study_goes_on_from_the_last_finished_network(study, small, monkeypatch):
    folder, found, _ = study
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(gate_study, "recalls", None)  # nothing is measured anew
    (folder / "results" / "gates" / "study.json").unlink()
    gate_study.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "gates"))
    for name, array in found.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_a_network_measured_otherwise_is_measured_anew(study, small, monkeypatch):
    tiny(monkeypatch, study[0], small)
    monkeypatch.setattr(gate_study, "ENERGIES", (0.7,))
    monkeypatch.setattr(results, "save_study", lambda folder, study: None)
    made = gate_study._kept("other-0", False, small)
    assert made.arrays["energy_test"].shape == (1, 10)


def test_a_run_of_another_kind_is_refused(study, small, monkeypatch):
    folder = study[0]
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(gate_study, "OTHERS", ("pair-0",))
    other = a_run("pair-0", 0)._replace(kind="Seq2Seq")
    runs.save_run(folder / "results" / "pair-0", other)
    with pytest.raises(disk.StoreError, match="holds a Seq2Seq, not a Classifier"):
        gate_study.publish(2, lambda line: None)


def test_the_published_study_is_whole(published):
    arrays, told = published.arrays, published.provenance
    assert told["runs"] == [f"mnist-{seed}" for seed in range(5)] + list(gate_study.OTHERS)
    assert told["energies"] == list(gate_study.ENERGIES)
    assert told["ranks"] == {side: list(kept) for side, kept in gate_study.RANKS.items()}
    assert len(arrays["kept"]) == len(told["runs"]) and len(arrays["each_test"]) == 5
    assert all(np.isfinite(array).all() for array in arrays.values())
    # accuracy, from the recall of each class, is the one published with each run
    for row, name in enumerate(told["runs"]):
        run = runs.load_run(name)
        full = gate_study.accuracy(arrays["full_test"].astype(float), run.labels)[row]
        assert full == pytest.approx(run.metrics["test_accuracy"], abs=5e-4)


@pytest.mark.parametrize("row", [0, 7])
def test_published_spectra_are_recomputed(published, row):
    run = runs.load_run(published.provenance["runs"][row])
    trained, initial = map(restore.matrices, (run, runs.untrained(run)))
    again = gate_study.spectra(trained, initial, np.random.default_rng(run.provenance["seed"]))
    for name, array in again.items():
        np.testing.assert_allclose(published.arrays[name][row], array, atol=1e-4, err_msg=name)


def test_published_cutoffs_are_recomputed(published, real_mnist):
    data, run = datasets.mnist(), runs.load_run("mnist-1")
    assert published.provenance["data_sha256"] == data.checksum
    parts = ranks.decompose(access.matrices(runs.restore(run)))
    energy, rank = gate_study.ENERGIES[2], gate_study.RANKS["recurrent"][2]
    arrays = published.arrays
    smallest = arrays["smallest_ranks"][1, 1].astype(int).tolist()
    kept = [
        ranks.same_energy(parts, energy),
        {"recurrent g": rank},
        dict(zip(gates.MATRICES, smallest, strict=True)),
    ]
    cuts = [ranks.low_rank(parts, each) for each in kept]
    again = gate_study.recalls(runs.restore(run), data.test, cuts)
    stored = (
        arrays["energy_test"][1, 2],
        arrays["each_test"][1, 6, 2],
        arrays["smallest_test"][1, 1],
    )
    np.testing.assert_allclose(stored, again, atol=3 * ONE_IMAGE)


def test_the_published_summary_is_that_of_the_hundred_networks():
    arrays, told = results.load_study("layers").arrays, results.load_study("layers").provenance
    networks = results.load_study("hundred").provenance["networks"]
    assert told["networks"] == networks == len(arrays["full"])
    assert told["energies"] == list(gate_study.ENERGIES)
    for name in ("energy_test", "energy_control", "effective", "stable", "kept"):
        assert len(np.unique(arrays[name], axis=0)) == networks and np.isfinite(arrays[name]).all()


@pytest.mark.parametrize("row", [0, 1])
def test_published_rows_of_the_summary_are_recomputed(row, real_mnist):
    again = gate_study.summary(runs.load_run(f"hundred-{row}"), datasets.mnist())
    published = results.load_study("layers").arrays
    assert again.keys() == published.keys()
    one_image = 1.001 / 170  # of the rarest digit among those that are followed
    for name, array in again.items():
        spread = 3 * one_image if name.startswith(("full", "energy_t", "energy_c")) else 1e-3
        np.testing.assert_allclose(published[name][row], array, atol=spread, err_msg=name)


def test_published_images_let_a_page_run_a_network(published):
    """The images that are published are read as they were when the run was published."""
    arrays, run = published.arrays, runs.load_run("mnist-0")
    images = (arrays["images"] / 255).astype(np.float32)
    states = access.hidden_states(runs.restore(run), images)
    np.testing.assert_allclose(states[:, -1], run.states[arrays["image_numbers"]], atol=0.005)
    Vt = svd.svd(run.readout).Vt
    assert arrays["lie"].shape[1] == len(Vt)
