import shutil

import numpy as np
import pytest
import xarray as xr
from studies import tiny

from rnnatomy.analysis import cutoffs, understudies
from rnnatomy.store import checkout, results
from rnnatomy.studies import classifiers, mechanism, questions, thousand

NETWORKS = 3


@pytest.fixture(scope="module")
def few(small, tmp_path_factory):
    """A tiny study, and the networks that were kept of it."""
    root = tmp_path_factory.mktemp("thousand")
    with pytest.MonkeyPatch.context() as patch:
        tiny.patch_study(patch, small, root)
        thousand.publish(NETWORKS)
        given = NETWORKS, tiny.RECIPE, tiny.WIDTH, small
        networks = tiny.unpacked(classifiers.trained("thousand", *given))
        return results.load_study("thousand"), networks


def test_every_array_has_its_axes(few):
    data = few[0].data
    assert set(data.data_vars) == set(thousand.AXES)
    wanted = {"network": NETWORKS, "digit": 10, "direction": 10, "pair": 36, "place": 9}
    wanted |= {"rank": 11, "threshold": 3, "rule": 3, "intervention": 11, "comparison": 6}
    assert wanted.items() <= dict(data.sizes).items()
    for array in data.data_vars.values():
        assert array.dtype in (np.float16, np.float32, np.uint16, np.uint8)
        assert np.isfinite(array.astype(float)).all()
    assert data["pair"].to_numpy()[[0, 1, 8]].tolist() == ["1 and 2", "1 and 3", "2 and 3"]


@pytest.fixture(params=range(NETWORKS))
def one(request, few, small):
    """A row of the study, its network, and the recalls under all cutoffs of it."""
    study, networks = few
    run = networks[request.param]
    parts = np.linalg.svd(run.readout, full_matrices=False)
    parts = questions.svd.SVD(*parts)
    table = tiny.all_cutoffs(parts, run.bias, run.states, small.test.labels)
    return study.data.isel(network=request.param), run, table


def test_a_row_holds_recalls_and_values(one):
    row, _, table = one
    close = {"atol": 1e-3}  # half precision
    np.testing.assert_allclose(row["full"], table[-1], **close)
    np.testing.assert_allclose(row["single"], table[tiny.one_out()], **close)
    np.testing.assert_allclose(row["nested"], table[tiny.nested()], **close)
    np.testing.assert_allclose(row["shapley"], cutoffs.shapley(table), **close)
    for name in ("1 and 2", "5 and 7", "8 and 9"):
        first, second = (int(word) - 1 for word in name.split(" and "))
        without = table[1023 - 2**first - 2**second]
        np.testing.assert_allclose(row["pairs"].sel(pair=name), without, **close)


def test_a_row_counts_random_directions_that_softmax_sees(one, small):
    row, run, _ = one
    rng = np.random.default_rng(run.provenance["seed"])
    bases = questions.random_bases(run.readout, rng)
    assert bases.shape == (questions.BASES, 10, 9)
    np.testing.assert_allclose(bases.sum(axis=1), 0, atol=1e-9)
    sizes = np.linalg.norm(np.swapaxes(bases, 1, 2) @ run.readout, axis=2)
    assert (np.diff(sizes) <= 0).all()
    labels, recalls = small.test.labels, []
    for basis in bases:
        for q in basis.T:
            logits = run.states @ (run.readout - np.outer(q, q @ run.readout)).T + run.bias
            recalls.append(cutoffs.recall(logits, labels))
    recalls = np.reshape(recalls, (len(bases), 9, 10))
    for number, threshold in enumerate(questions.THRESHOLDS):
        lost = recalls < threshold
        there = row.isel(threshold=number)
        np.testing.assert_allclose(there["random_lost"], lost.sum(axis=0), atol=1)
        np.testing.assert_allclose(there["random_bases_lost"], lost.any(axis=1).sum(0), atol=1)
        assert abs(int(there["random_bases_any"]) - lost.any(axis=(1, 2)).sum()) <= 1


def test_understudies_of_random_bases_are_counted(one):
    row, run, _ = one
    network = questions.Network(run.readout, run.bias, run.states, run.labels)
    again = questions.ask_random(network, np.random.default_rng(run.provenance["seed"]))
    for name, array in again.items():
        np.testing.assert_array_equal(row[name], array)
    assert (again["random_bases_with_any"] <= questions.BASES).all()
    assert (again["random_bases_with"].max(axis=1) <= again["random_bases_with_any"]).all()
    assert (again["random_understudies"] >= again["random_bases_with"]).all()


def test_interventions_on_nothing_and_on_a_direction_are_cutoffs(one):
    row, _, table = one
    measured, carrier = row["measured"], row["carrier"].to_numpy()
    np.testing.assert_allclose(measured.sel(intervention="nothing"), table[-1], atol=1e-3)
    expected = [table[1023 - 2 ** int(k - 1), c] for c, k in enumerate(carrier)]
    np.testing.assert_allclose(measured.sel(intervention="direction cut"), expected, atol=1e-3)
    np.testing.assert_array_equal(
        carrier - 1,
        np.abs(np.linalg.svd(row["readout"].astype(float))[0][:, :9]).argmax(axis=1),
    )
    share = row["answers"] / row["answers"].sum("answer")
    np.testing.assert_allclose(np.diag(share), expected, atol=1e-3)


def test_nothing_done_to_a_carrier_that_is_the_fifth(one):
    row, _, _ = one
    at = np.flatnonzero(row["carrier"] == 5)
    moved = row["measured"].sel(intervention="singular value exchanged with the fifth")
    same = row["measured"].sel(intervention="nothing")
    np.testing.assert_array_equal(moved[at], same[at])


def test_a_discriminant_is_aligned_with_whitened_means():
    rng = np.random.default_rng(0)
    shown = np.arange(4000) % 5
    means, mix = rng.normal(size=(5, 12)), rng.normal(size=(12, 12)) / 3
    seen = means[shown] + rng.normal(size=(4000, 12)) @ mix
    W = np.linalg.solve(mix.T @ mix, means.T).T
    found = dict(
        zip(mechanism.GEOMETRY, mechanism.compare(W, seen, shown)["geometry"], strict=True)
    )
    assert found["aligned with whitened means"] > 0.95
    assert found["distances, whitened means"] > 0.9
    assert found["aligned with means"] < 0.8
    own = mechanism.compare(means, seen, shown)["geometry"]
    assert own[0] > 0.98 and own[4] > 0.9


def test_hits_are_those_of_the_cutoff_chosen_on_validation(one, small):
    row, _, table = one
    counts = np.bincount(small.test.labels)
    hits = row["hits"].sel(part="test")
    chosen = int(row["chosen"])
    for name, recalls in (("nothing cut", table[-1]), ("chosen on validation", table[chosen])):
        assert abs(int(hits.sel(cutoff=name)) - recalls @ counts) < 1.01
    validation = row["hits"].sel(part="validation")
    assert int(validation.max()) == int(validation.sel(cutoff="chosen on validation"))


def test_the_rule_finds_the_same_in_what_is_published(one):
    row, _, table = one
    removed = cutoffs.removed(table, 9)
    published = cutoffs.Removed(
        *(row[k].to_numpy().astype(float) for k in ("full", "single", "pairs"))
    )
    published = published._replace(single=published.single[:9])
    for rule in understudies.RULES.values():
        found = understudies.find(published, rule)
        assert np.mean(found != understudies.find(removed, rule)) < 0.02


@pytest.fixture
def growing(small, tmp_path, monkeypatch, capsys):
    """Publish a tiny study of some networks, and tell the seeds that were trained for it."""
    tiny.patch_study(monkeypatch, small, tmp_path)

    def publish(networks):
        shutil.rmtree(tmp_path / "build", ignore_errors=True)
        thousand.publish(networks)
        folders = (tmp_path / "build" / "jobs").glob("thousand-*")
        names = {path.name.rpartition("-")[0] for path in folders if "measured" not in path.name}
        seeds = sorted(int(name.rpartition("-")[2]) for name in names)
        return results.load_study("thousand"), seeds, capsys.readouterr().out

    return publish


def test_a_published_study_grows_by_the_networks_that_it_has_not(growing, few):
    before, seeds, _ = growing(2)
    assert seeds == [0, 1] and "grown_from" not in before.provenance
    study, seeds, told = growing(NETWORKS)
    assert seeds == [0, 1, 2] and "the first and the last come out so" in told
    xr.testing.assert_identical(study.data, few[0].data)
    assert study.provenance["grown_from"]["networks"] == 2
    assert study.provenance["grown_from"]["same_bits"]
    assert study.provenance["networks"] == NETWORKS


def test_it_grows_on_a_processor_that_rounds_otherwise_and_says_so(growing):
    """What is published was rounded by another machine: as far away as rounding may lead."""
    before, _, _ = growing(2)
    rounded = before._replace(data=before.data + 0)
    rounded.data["readout"] = before.data["readout"] * np.float32(1 + 1e-6)
    results.save_study(checkout.root() / "results" / "thousand", rounded)
    study, seeds, told = growing(NETWORKS)
    assert seeds == [0, 1, 2] and "otherwise in their bits" in told
    assert study.provenance["grown_from"]["same_bits"] is False
    xr.testing.assert_identical(study.data.isel(network=[0, 1]), rounded.data)


def test_a_study_that_comes_out_otherwise_is_made_anew(growing, monkeypatch, few):
    before, _, _ = growing(2)
    swapped = before._replace(data=before.data.isel(network=[1, 1]))
    results.save_study(checkout.root() / "results" / "thousand", swapped)
    study, seeds, told = growing(NETWORKS)
    assert seeds == [0, 1, 2] and "network 0 comes out otherwise" in told
    xr.testing.assert_identical(study.data, few[0].data)
    assert "grown_from" not in study.provenance


@pytest.mark.parametrize("networks, anew", [(2, "0"), (3, "1")])
def test_as_many_networks_or_a_replacement_are_made_anew(growing, monkeypatch, networks, anew):
    growing(2)
    monkeypatch.setenv("REPLACE", anew)
    study, seeds, told = growing(networks)
    assert "grown_from" not in study.provenance and "come out" not in told
    assert seeds == list(range(networks))
