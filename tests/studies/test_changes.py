from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import gates, ranks, svd
from rnnatomy.networks import access, runs
from rnnatomy.store import results
from rnnatomy.studies import changes, classifiers, engine

NETWORKS, CUT = 3, 2


def patch_study(patch, small, root):
    tiny.patch_study(patch, small, root)
    for name, value in {
        "CUT": CUT,
        "PERMUTED": 2,
        "SHARES": (0.25, 1.0),
        "CHANGE_RANKS": (0, 2, 16),
    }.items():
        patch.setattr(changes, name, value)


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("changes")
    with pytest.MonkeyPatch.context() as patch:
        patch_study(patch, small, root)
        changes.publish(NETWORKS)
        given = tiny.NETWORKS - 1, tiny.RECIPE, tiny.WIDTH, small
        networks = tiny.unpacked(classifiers.trained("thousand", *given))
        again = engine.load(changes.train_permuted(1, tiny.RECIPE, tiny.WIDTH, small)[0])
        permuted = classifiers.unpack(again, "permuted-0")
        yield results.load_study("changes"), networks, permuted


def changed(run, name):
    """A matrix after and before training, gates of one side on top of each other."""
    both = runs.restore(run), runs.untrained(run)
    if name == "readout":
        return tuple(access.readout(network).W for network in both)
    single = [access.matrices(network) for network in both]
    names = [name] if name in gates.MATRICES else [f"{name} {gate}" for gate in "ifgo"]
    return tuple(np.vstack([of[one] for one in names]) for of in single)


@pytest.mark.parametrize("name", ["input g", "recurrent", "readout"])
def test_spectra_are_those_of_the_matrices_before_and_after_training(study, name):
    found, networks, _ = study
    for number, run in enumerate(networks):
        row = found.data.sel(network=number, layer=name)
        after, before = changed(run, name)
        rest = after - float(row["left"]) * before
        assert np.sum(rest * before) == pytest.approx(0, abs=1e-4 * float(np.sum(before**2)))
        size = np.linalg.norm(rest) / np.linalg.norm(before)
        assert float(row["size"]) == pytest.approx(size, rel=1e-4)
        for kind, matrix in {"trained": after, "learnt": rest}.items():
            share = np.linalg.svd(matrix, compute_uv=False) ** 2
            stable = share.sum() / share[0]
            assert float(row["stable"].sel(kind=kind)) == pytest.approx(stable, rel=1e-3)
            half = 1 + np.searchsorted(np.cumsum(share) / share.sum(), 0.5)
            assert int(row["half_directions"].sel(kind=kind)) == half
        energy = float(row["energy"])
        assert energy == pytest.approx(np.sum(after**2), rel=1e-4)
        assert float(row["largest"]) == pytest.approx(np.linalg.norm(after, 2) ** 2, rel=1e-4)


def test_accuracies_are_those_of_the_runs(study, small):
    found, networks, _ = study
    for number, run in enumerate(networks):
        row, history = found.data.sel(network=number), run.metrics["history"]
        right = run.logits.argmax(axis=1) == small.test.labels
        halves = [right[::2].mean(), right[1::2].mean()]
        np.testing.assert_allclose(row["half_accuracy"], halves, rtol=1e-6)
        assert float(row["loss"]) == pytest.approx(history["loss"][-1])
        assert float(row["validation_accuracy"]) == pytest.approx(history["accuracy"][-1])


def test_a_matrix_is_cut_and_nothing_else(study, small):
    found, networks, _ = study
    data, images, labels = found.data, small.test.images[::2], small.test.labels[::2]
    assert data.sizes["cut_network"] == CUT
    # all directions of a matrix are the matrix
    whole = data["reduced"].sel(share=1.0) - data["full"]
    assert float(abs(whole).max()) < 1e-6
    model = runs.restore(networks[1])
    matrices = access.matrices(model)
    U, s, Vt = np.linalg.svd(matrices["recurrent o"], full_matrices=False)
    matrices["recurrent o"] = ((U[:, :4] * s[:4]) @ Vt[:4]).astype(np.float32)
    read = access.with_matrices(model, matrices)(jnp.asarray(images)).argmax(axis=1) == labels
    row = data["reduced"].sel(cut_network=1, matrix="recurrent o", share=0.25, part="test")
    assert float(row.sel(kept="first")) == pytest.approx(float(read.mean()), abs=1e-6)
    reduced = data["reduced"].sel(share=0.25)
    assert float(abs(reduced.sel(kept="first") - reduced.sel(kept="random")).max()) > 0


def test_the_change_is_put_back_on_what_is_left_of_the_start(study, small):
    found, networks, _ = study
    data, images, labels = found.data, small.test.images[::2], small.test.labels[::2]
    full = data["full"].sel(part="test")
    assert float(abs(data["carried"].sel(rank=16) - full).max()) < 1e-6
    nothing = data["carried"].sel(rank=0)
    assert (nothing.sel(kept="first") == nothing.sel(kept="random")).all()
    model, fresh = runs.restore(networks[0]), runs.untrained(networks[0])
    matrices, before = access.matrices(model), access.matrices(fresh)
    for gate in "ifgo":
        name = f"recurrent {gate}"
        learnt = ranks.learnt(matrices[name], before[name])
        few = svd.compose(svd.truncate(svd.svd(learnt.rest), 2))
        matrices[name] = (learnt.kept * before[name] + few).astype(np.float32)
    read = access.with_matrices(model, matrices)(jnp.asarray(images)).argmax(axis=1) == labels
    row = data["carried"].sel(cut_network=0, kept="first", way="recurrent", rank=2)
    assert float(row) == pytest.approx(float(read.mean()), abs=1e-6)


def test_permuted_labels_are_the_same_labels_in_another_order(small, monkeypatch, tmp_path):
    patch_study(monkeypatch, small, tmp_path)
    given = []
    monkeypatch.setattr(classifiers, "fit_classifiers", lambda data, *_, **__: given.append(data))
    with pytest.raises(TypeError):  # nothing was fitted
        changes.train([0], small.checksum, tiny.WIDTH, tiny.RECIPE._asdict())
    dealt = given[0].train.labels
    assert (dealt != small.train.labels).mean() > 0.5
    np.testing.assert_array_equal(np.bincount(dealt), np.bincount(small.train.labels))
    assert given[0].validation is small.validation and given[0].test is small.test


def test_networks_on_permuted_labels_start_as_the_others_and_end_elsewhere(study):
    found, networks, permuted = study
    assert found.data.sizes["permuted_network"] == 2
    before = [runs.untrained(run) for run in (networks[0], permuted)]
    np.testing.assert_array_equal(*(access.readout(network).W for network in before))
    assert np.abs(permuted.readout - networks[0].readout).max() > 0.01
    loss = found.data["permuted_loss"].sel(permuted_network=0)
    assert float(loss) == pytest.approx(permuted.metrics["history"]["loss"][-1])
    assert float(loss) > float(found.data["loss"].sel(network=0))


def test_everything_is_finite_and_named(study):
    data, told = study[0].data, study[0].provenance
    assert all(np.isfinite(array).all() for array in data.data_vars.values())
    assert set(data.data_vars) == set(changes.AXES)
    assert told["networks"] == NETWORKS and told["cut"] == CUT
    assert data["layer"].to_numpy().tolist() == list(changes.LAYERS)


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("changes")


def test_the_published_study_has_the_form_of_a_tiny_one(study, published, assert_same_form):
    assert_same_form(study[0].data, published.data)
    assert published.data.sizes["network"] == published.provenance["networks"]
    assert published.data.sizes["cut_network"] == published.provenance["cut"]


def test_published_spectra_are_recomputed(published):
    folder = Path(__file__).resolve().parents[2] / "results" / "thousand-0"
    again = changes.compare_all(runs.load_run(str(folder)))
    for name, array in again.items():
        stored = published.data[name].sel(network=0)
        np.testing.assert_allclose(stored, array, rtol=1e-3, err_msg=name)
