import shutil

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
def published(load_published):
    return load_published("gates")


def a_run(name, seed):
    """A network that is not what its seed alone would make."""
    model = models.Classifier(8, HIDDEN, 10, rngs=nnx.Rngs(seed))
    for path in ("dense_i", "dense_h"):
        kernel = getattr(model.cell, path).kernel
        kernel[...] = kernel[...] + jax.random.normal(jax.random.key(seed + 1), kernel.shape)
    return runs.Run(name, model.config, access.flatten(model), {}, {"seed": seed})


@pytest.fixture(scope="module")
def run():
    return a_run("a", 3)


@pytest.fixture
def network(run):
    return runs.restore(run)


def tiny(patch, folder, data):
    patch.setattr(checkout, "ROOT", folder)
    patch.setenv("ENGINE", "here")
    patch.setattr(datasets, "mnist", lambda: data)
    patch.setattr(gate_study, "OTHERS", ("other-0",))
    patch.setattr(gate_study, "RANKS", {"input": (0, 2), "recurrent": (0, 3)})
    patch.setattr(gate_study, "ENERGIES", (0.5, 0.9))
    patch.setattr(gate_study, "SHARES", (0.5,))
    patch.setattr(gate_study, "FOLLOWED", 60)
    patch.setattr(gate_study, "SHOWN", 3)
    patch.setattr(gate_study, "CUTOFFS_AT_ONCE", 4)


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        for seed, name in enumerate(("mnist-0", "mnist-1", "other-0")):
            runs.save_run(folder / "results" / name, a_run(name, seed))
        gate_study.publish(2)
        found = results.load_study("gates")
    return folder, found


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


def some_cuts(network):
    parts = ranks.decompose(access.matrices(network))
    kept = [{}, {"input g": 1}, {"recurrent f": 0, "recurrent o": 2}]
    return [ranks.low_rank(parts, each) for each in kept]


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_recalls_are_those_of_the_network_with_other_matrices(
    small, run, network, monkeypatch, at_once
):
    monkeypatch.setattr(gate_study, "CUTOFFS_AT_ONCE", at_once)
    images, labels = small.test
    cuts = some_cuts(network)
    found = gate_study.recalls(network, small.test, cuts)
    right = np.array([by_hand(run, cut, images) == labels for cut in cuts])
    expected = [[row[labels == k].mean() for k in range(10)] for row in right]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(found, axis=0)) == 3
    np.testing.assert_allclose(gate_study.accuracy(found, labels), right.mean(axis=1))


def test_a_model_keeps_its_own_matrices(small, run, network):
    gate_study.recalls(network, small.test, some_cuts(network))
    for name, array in access.flatten(network).items():
        np.testing.assert_array_equal(array, run.parameters[name])


def test_the_study_has_rows_for_whole_networks_and_for_others(study):
    _, found = study
    assert found.provenance["runs"] == ["mnist-0", "mnist-1", "other-0"]
    assert found.provenance["energies"] == [0.5, 0.9]
    data = found.data
    assert data["network"].to_numpy().tolist() == ["mnist-0", "mnist-1", "other-0"]
    assert data["whole"].to_numpy().tolist() == ["mnist-0", "mnist-1"]
    sizes = {"kind": 5, "gate": 4, "matrix": 8, "input_direction": 6, "recurrent_direction": 6}
    sizes |= {"energy": 2, "share": 1, "cut": 2, "digit": 10, "way": 2, "state": 2}
    sizes |= {"row": 8, "probed_row": 4, "axis": 3, "mode": 6, "direction": 6, "unit": 6}
    sizes |= {"percentile": 3, "fraction": 3, "image": 30, "pixel": 8, "network": 3, "whole": 2}
    assert dict(data.sizes) == sizes
    assert data["rank"].sel(matrix="input f").to_numpy().tolist() == [0, 2]
    assert data["rank"].sel(matrix="recurrent f").to_numpy().tolist() == [0, 3]
    assert data["probed_row"].to_numpy().tolist() == [2, 4, 6, 8]
    assert all(np.isfinite(array).all() for array in data.data_vars.values())
    assert found.provenance["jobs"] == 3 and found.provenance["reused"] == []


def test_the_study_has_the_published_form(study, published, assert_same_form):
    assert_same_form(study[1].data, published.data)


@pytest.mark.parametrize("seed", [0, 1])
def test_states_are_those_of_networks_before_and_after_training(study, small, seed):
    name = f"mnist-{seed}"
    run, data = a_run(name, seed), study[1].data.sel(whole=name)
    networks = {"untrained": runs.untrained(run), "trained": runs.restore(run)}
    for state, network in networks.items():
        states = access.hidden_states(network, small.test.images)
        again = gate_study.measure_paths(access.readout(network), small.test, states)
        for key, array in again.items():
            np.testing.assert_array_equal(data[key].sel(state=state), array)
    spectra = study[1].data["recurrent_spectra"].sel(network=name, gate="o")
    for state, network in networks.items():
        s = svd.svd(access.matrices(network)["recurrent o"]).s
        np.testing.assert_allclose(spectra.sel(kind=state), s, rtol=1e-5)


def test_nothing_is_left_of_a_matrix_at_rank_zero(study, small):
    data = study[1].data
    np.testing.assert_array_equal(
        data["single_test"].isel(cut=0), data["single_control"].isel(cut=0)
    )
    run = a_run("mnist-1", 1)
    cut = access.matrices(runs.restore(run)) | {"recurrent i": np.zeros((HIDDEN, HIDDEN))}
    right = by_hand(run, cut, small.test.images) == small.test.labels
    recall = data["single_test"].sel(whole="mnist-1", matrix="recurrent i").isel(cut=0)
    again = gate_study.accuracy(recall.to_numpy().astype(float), small.test.labels)
    assert again == pytest.approx(right.mean(), abs=1e-6)


def test_the_control_loses_as_much_as_each_cutoff(small, network, monkeypatch):
    lost = []

    def recorded(rng, matrix, share):
        lost.append(share)
        return matrix

    monkeypatch.setattr(controls, "remove_random", recorded)
    monkeypatch.setattr(gate_study, "RANKS", {"input": (0, 2), "recurrent": (1, HIDDEN)})
    trained = access.matrices(network)
    found = gate_study.single_cutoffs(network, trained, small, np.random.default_rng(0))
    full = gate_study.recalls(network, small.test, [trained])[0]
    assert np.ptp(found["single_control"] - full.astype(np.float32)) < 1e-6
    assert np.ptp(found["single_test"] - full.astype(np.float32)) > 0.1
    for name, shares in zip(gates.MATRICES, np.reshape(lost, (8, 2)), strict=True):
        s = svd.svd(trained[name]).s
        kept = gate_study.RANKS[name.split()[0]]
        expected = [np.square(s[rank:]).sum() / np.square(s).sum() for rank in kept]
        np.testing.assert_allclose(shares, expected, atol=1e-6)


def test_a_summary_says_what_the_whole_study_says(study, small, monkeypatch):
    tiny(monkeypatch, study[0], small)
    monkeypatch.setattr(gate_study, "FOLLOWED", len(small.test.labels))
    run, data = a_run("mnist-1", 1), study[1].data.sel(network="mnist-1")
    found = gate_study.summary(run, small)
    np.testing.assert_array_equal(found["kept"], data["kept"])
    np.testing.assert_array_equal(found["full"], data["full_test"])
    np.testing.assert_array_equal(found["energy_ranks"], data["energy_ranks"].sum("matrix"))
    for name in ("energy_test", "energy_control"):
        np.testing.assert_allclose(found[name], data[name], atol=ONE_IMAGE)
    for name, matrix in access.matrices(runs.restore(run)).items():
        place, s = gates.MATRICES.index(name), np.linalg.svd(matrix, compute_uv=False)
        share = s / s.sum()
        effective = np.exp(-(share * np.log(share)).sum())
        assert found["effective"][0, place] == pytest.approx(effective, rel=1e-4)
        stable = np.square(matrix).sum() / s[0] ** 2
        assert found["stable"][0, place] == pytest.approx(stable, rel=1e-4)
    assert found["effective"].shape == found["stable"].shape == (5, 8)


def test_the_smallest_ranks_are_measured_on_both_parts(study, small):
    run, data = a_run("mnist-1", 1), study[1].data.sel(whole="mnist-1")
    parts = ranks.decompose(access.matrices(runs.restore(run)))
    for way in gate_study.WAYS:
        row = data.sel(way=way)
        kept = {name: int(row["smallest_ranks"].sel(matrix=name)) for name in gates.MATRICES}
        cut = ranks.low_rank(parts, kept)
        for name, part in {"test": small.test, "validation": small.validation}.items():
            right = by_hand(run, cut, part.images) == part.labels
            recall = row[f"smallest_{name}"].to_numpy().astype(float)
            assert gate_study.accuracy(recall, part.labels) == pytest.approx(right.mean())


def test_the_smallest_ranks_cost_no_more_than_is_allowed(study, small):
    data, labels = study[1].data, small.validation.labels
    whole = data["full_validation"].sel(network=data["whole"].to_numpy())
    full = gate_study.accuracy(whole.to_numpy().astype(float), labels)
    left = gate_study.accuracy(data["smallest_validation"].to_numpy().astype(float), labels)
    assert (left >= (1 - gate_study.ALLOWED) * full[:, None] - 1e-6).all()
    totals = data["smallest_ranks"].sum("matrix")
    same, lowered = (totals.sel(way=way) for way in ("same energy", "in turn"))
    assert (lowered <= same).all() and (same <= 8 * HIDDEN).all()


@pytest.fixture
def trained(study):
    """What is measured of the first network after training, and the network."""
    run = a_run("mnist-0", 0)
    return study[1].data.sel(whole="mnist-0", state="trained"), run, runs.restore(run)


def test_paths_are_those_of_the_states(trained, small):
    row, run, network = trained
    states = np.asarray(network.states(jnp.asarray(small.test.images)))
    np.testing.assert_allclose(access.hidden_states(network, small.test.images), states, atol=1e-6)
    right = (states @ run.readout.T + run.bias).argmax(axis=2) == small.test.labels[:, None]
    np.testing.assert_allclose(row["read"], right.mean(axis=0), atol=1e-6)
    # with all modes, the readout reads the state itself
    assert float(row["read_in_modes"][-1]) == pytest.approx(right[:, -1].mean())
    np.testing.assert_allclose(row["lie"].sum("mode"), 1, atol=1e-5)
    np.testing.assert_allclose(row["energies"].sum(), 1, atol=1e-5)


def test_the_readout_of_few_modes_reads_projected_states(trained, small):
    row, run, network = trained
    states = access.hidden_states(network, small.test.images)
    basis = pod.pod(states, centred=True)
    few = pod.pod(states, centred=True, modes=2)
    np.testing.assert_allclose(few.modes, basis.modes[:2], atol=1e-6)
    last = pod.reconstruct(few, pod.project(few, states[:, -1]))
    right = (last @ run.readout.T + run.bias).argmax(axis=1) == small.test.labels
    assert float(row["read_in_modes"].sel(mode=2)) == pytest.approx(right.mean())


def test_classes_do_not_part_where_no_state_differs():
    states = np.zeros((20, 3, HIDDEN), np.float32)
    states[:, 2] = np.random.default_rng(0).normal(size=(20, HIDDEN))
    part = datasets.Split(states, np.arange(20, dtype=np.int32) % 10)
    readout = access.readout(runs.restore(a_run("a", 0)))
    fisher = gate_study.measure_paths(readout, part, states)["fisher"]
    assert fisher[:2].tolist() == [0, 0] and fisher[2] > 0


def test_the_images_to_be_shown_are_the_first_of_each_digit(study, small):
    arrays = results.arrays(study[1].data)
    assert np.bincount(arrays["labels"]).tolist() == [3] * 10
    numbers = arrays["image_numbers"]
    np.testing.assert_array_equal(small.test.labels[numbers], arrays["labels"])
    np.testing.assert_allclose(arrays["images"] / 255, small.test.images[numbers], atol=0.002)
    for digit in range(10):
        first = np.flatnonzero(small.test.labels == digit)[:3]
        np.testing.assert_array_equal(numbers[arrays["labels"] == digit], first)


def test_a_study_that_is_there_is_published_without_measuring(study, small, monkeypatch):
    folder, found = study
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(gate_study, "recalls", None)  # nothing is measured anew
    (folder / "results" / "gates" / "study.json").unlink()
    gate_study.publish(2)
    again = results.load_study(str(folder / "results" / "gates"))
    assert again.data.identical(found.data) and again.provenance["reused"] == "all"


def test_a_network_trained_anew_under_the_same_name_is_measured_anew(
    study, small, tmp_path, monkeypatch
):
    shutil.copytree(study[0], tmp_path, dirs_exist_ok=True)
    tiny(monkeypatch, tmp_path, small)
    other = a_run("mnist-1", 7)
    runs.save_run(tmp_path / "results" / "mnist-1", other._replace(provenance={"seed": 1}))
    gate_study.publish(2)
    found = results.load_study("gates")
    assert found.provenance["reused"] == ["mnist-0", "other-0"]
    row = found.data["recurrent_spectra"].sel(network="mnist-1", kind="trained", gate="o")
    s = svd.svd(access.matrices(runs.restore(other))["recurrent o"]).s
    np.testing.assert_allclose(row, s, rtol=1e-5)


def test_a_network_that_is_told_otherwise_is_not_measured_anew(study, small, tmp_path, monkeypatch):
    shutil.copytree(study[0], tmp_path, dirs_exist_ok=True)
    tiny(monkeypatch, tmp_path, small)
    run = a_run("mnist-1", 1)
    told = run._replace(provenance={"seed": 1, "commit": "another"}, metrics={"loss": 1.0})
    runs.save_run(tmp_path / "results" / "mnist-1", told)
    gate_study.publish(2)
    assert results.load_study("gates").provenance["reused"] == "all"


def test_a_run_of_another_kind_is_refused(study, small, monkeypatch):
    folder = study[0]
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(gate_study, "OTHERS", ("pair-0",))
    pair = models.Seq2Seq(8, HIDDEN, rngs=nnx.Rngs(0))
    other = runs.Run("pair-0", pair.config, access.flatten(pair), {}, {"seed": 0})
    runs.save_run(folder / "results" / "pair-0", other)
    with pytest.raises(disk.StoreError, match="holds a Seq2Seq, not a Classifier"):
        gate_study.publish(2)


def test_the_published_study_is_whole(published):
    data, told = published.data, published.provenance
    whole = [f"mnist-{seed}" for seed in range(5)]
    assert told["runs"] == [*whole, *gate_study.OTHERS] == data["network"].to_numpy().tolist()
    assert data["whole"].to_numpy().tolist() == whole
    assert told["energies"] == list(gate_study.ENERGIES) == data["energy"].to_numpy().tolist()
    assert told["ranks"] == {side: list(kept) for side, kept in gate_study.RANKS.items()}
    assert data["kind"].to_numpy().tolist() == list(gate_study.KINDS)
    for name in gates.MATRICES:
        assert data["rank"].sel(matrix=name).to_numpy().tolist() == told["ranks"][name.split()[0]]
    assert all(np.isfinite(array).all() for array in data.data_vars.values())
    # accuracy, from the recall of each class, is the one published with each run
    for name in told["runs"]:
        run = runs.load_run(name)
        recall = data["full_test"].sel(network=name).to_numpy().astype(float)
        full = gate_study.accuracy(recall, run.labels)
        assert full == pytest.approx(run.metrics["test_accuracy"], abs=5e-4)


@pytest.mark.parametrize("name", ["mnist-0", "collapse-60-0.01-128-0"])
def test_published_spectra_are_recomputed(published, name):
    run = runs.load_run(name)
    trained, untrained = (
        access.matrices(made) for made in (runs.restore(run), runs.untrained(run))
    )
    again = gate_study.spectra(trained, untrained, np.random.default_rng(run.provenance["seed"]))
    row = published.data.sel(network=name)
    for key, array in again.items():
        np.testing.assert_allclose(row[key], array, atol=1e-4, err_msg=key)


def test_published_cutoffs_are_recomputed(published, real_mnist):
    data, network = datasets.mnist(), runs.restore(runs.load_run("mnist-1"))
    assert published.provenance["data_sha256"] == data.checksum
    parts = ranks.decompose(access.matrices(network))
    energy, rank = gate_study.ENERGIES[2], gate_study.RANKS["recurrent"][2]
    whole = published.data.sel(whole="mnist-1")
    smallest = whole.sel(way="in turn")
    kept = [
        ranks.same_energy(parts, energy),
        {"recurrent g": rank},
        {name: int(smallest["smallest_ranks"].sel(matrix=name)) for name in gates.MATRICES},
    ]
    cuts = [ranks.low_rank(parts, each) for each in kept]
    again = gate_study.recalls(network, data.test, cuts)
    single = whole["single_test"].sel(matrix="recurrent g")
    stored = (
        published.data["energy_test"].sel(network="mnist-1", energy=energy),
        single[(single["rank"] == rank).to_numpy()][0],
        smallest["smallest_test"],
    )
    np.testing.assert_allclose(stored, again, atol=3 * ONE_IMAGE)


def test_published_images_let_a_page_run_a_network(published):
    """The images that are published are read as they were when the run was published."""
    data, run = published.data, runs.load_run("mnist-0")
    images = (data["images"].to_numpy() / 255).astype(np.float32)
    states = access.hidden_states(runs.restore(run), images)
    stored = run.states[data["image_numbers"].to_numpy()]
    np.testing.assert_allclose(states[:, -1], stored, atol=0.005)
    assert data.sizes["direction"] == len(svd.svd(run.readout).Vt)
