import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.networks import training
from rnnatomy.store import checkout, results
from rnnatomy.studies import engine
from rnnatomy.studies.movement import embeddings, fitting, geometry, protocols, scoring, study


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movement")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        synthetic.patch_study(patch, folder)
        study.publish(2, lines.append)
        return folder, results.load_study("movement"), lines


def test_the_study_has_a_row_for_each_network(small):
    _, made, lines = small
    data = made.data
    sizes = {"task": 2, "network": 2, "epoch": 3, "held_epoch": 3, "choice": 1, "state": 2}
    sizes |= {"view": 3, "plain_view": 3, "clustering": 2, "gauge_view": 2, "gauge_clustering": 2}
    sizes |= {"smoothing": 2, "count": 2, "recording": 2, "role": 2, "action": 8, "mode": 3}
    sizes |= {"frame": 3 + geometry.ONWARD, "joint": 38, "axis": 3}
    assert sizes.items() <= data.sizes.items()
    assert data["task"].to_numpy().tolist() == ["three", "three_short"]
    assert data["recording"].to_numpy().tolist() == ["01", "07"] == made.provenance["recordings"]
    assert data["played_frames"].sum() == data.sizes["played_frame"]
    assert all(np.isfinite(array).all() for array in data.data_vars.values())
    assert lines[-1] == "movement: 4 of 4 jobs done"
    assert made.provenance["jobs"] == 4 and made.provenance["reused"] == []
    assert made.provenance["activities"] == [["activity 0", "activity 1", "activity 2"]] * 2


def test_the_study_has_the_published_form(small, published, assert_same_form):
    data = small[1].data
    tasks, names = data["task"].to_numpy().tolist(), data["recording"].to_numpy().tolist()
    axes = study.AXES | study.sequence_axes(tasks, names)
    assert set(data.data_vars) == set(axes)
    assert_same_form(data, published.data[list(axes)].assign_coords(published.data.coords))
    # all tasks and recordings that are published have what the tiny ones have
    tasks = published.data["task"].to_numpy().tolist()
    axes = study.AXES | study.sequence_axes(tasks, published.provenance["recordings"])
    assert {name: array.dims for name, array in published.data.data_vars.items()} == axes


def test_rows_are_recomputed(small, monkeypatch):
    synthetic.patch_study(monkeypatch, small[0])
    data, made = small[1].data.sel(recording="07"), synthetic.recording("07", 50)
    own = protocols.scale_each(mocap.recordings())[1]
    rows = embeddings.frame_rows([own], [own], synthetic.TINY)
    ways = scoring.methods_for_count(3, np.random.default_rng(0))
    again = scoring.subject_table(rows, made, synthetic.TINY, ways)
    for name, array in scoring.by_name("subject_plain", again, scoring.SCORES).items():
        np.testing.assert_allclose(data[name].sel(count="given"), array, atol=1e-6)
    fresh = fitting.untrained(own.shape[1], synthetic.TINY, 1)
    rows = embeddings.state_rows(fresh, [own], [own], synthetic.TINY)
    ways = scoring.methods_by_silhouette(np.random.default_rng(1))
    again = scoring.subject_table(rows, made, synthetic.TINY, ways)
    row = data.sel(count="found", network=1, state="untrained")
    for name, array in scoring.by_name("subject", again, scoring.SCORES).items():
        np.testing.assert_allclose(row[name], array, atol=1e-6)


def test_tasks_and_epochs_are_recomputed(small, monkeypatch):
    synthetic.patch_study(monkeypatch, small[0])
    plan = protocols.SHORT
    frames, labels = protocols.concatenate(protocols.TASKS["three"], mocap.sequences(mocap.ACTIONS))
    data = small[1].data.sel(task="three_short")
    plain = scoring.joined_table(
        embeddings.frame_rows([frames], [frames], plan), labels, plan, np.random.default_rng(0)
    )
    for name, array in scoring.by_name("authors_plain", plain[0], scoring.AGREEMENT).items():
        np.testing.assert_allclose(data[name], array, atol=1e-6)
    fresh = fitting.untrained(frames.shape[1], plan, 1)
    rows = embeddings.state_rows(fresh, [frames], [frames], plan)
    again = scoring.joined_table(rows, labels, plan, np.random.default_rng(1))
    row = data.sel(network=1, epoch=0)
    for name, array in scoring.by_name("authors", again[0], scoring.AGREEMENT).items():
        np.testing.assert_allclose(row[name], array, atol=1e-6)
    gauge = scoring.gauge(rows, 3, np.random.default_rng(1))
    np.testing.assert_allclose(row["authors_gauge"], gauge, atol=1e-5)
    shape = geometry.shape(rows["decoder states"][0], labels)
    assert row["authors_modes"] == shape.modes
    assert float(row["authors_silhouette"]) == pytest.approx(shape.silhouette, abs=1e-5)
    error = fitting.error(fresh, [frames], plan)
    assert float(row["authors_loss"]) == pytest.approx(error, rel=1e-4)


def test_finished_jobs_are_reused(small, monkeypatch):
    folder, made, _ = small
    synthetic.patch_study(monkeypatch, folder)
    monkeypatch.setattr(training, "fit_ensemble", None)  # nothing is fitted anew
    (folder / "results" / "movement" / "study.json").unlink()
    study.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "movement"))
    assert again.data.identical(made.data)
    assert again.provenance["reused"] == "all"
    assert again.provenance["wall_seconds"] == made.provenance["wall_seconds"] > 0


def test_jobs_on_other_movements_or_of_more_networks_are_done_anew(small, monkeypatch):
    synthetic.patch_study(monkeypatch, small[0])
    asked = []

    def record(create, loss, train, recipe, keys, measure, checkpoint):
        asked.append((len(keys), checkpoint.name))
        raise ArithmeticError("nothing is fitted")

    monkeypatch.setattr(training, "fit_ensemble", record)
    first, second = mocap.recordings()
    other = first._replace(labels=first.labels[::-1].copy())  # the same frames
    monkeypatch.setattr(mocap, "recordings", lambda: [other, second])
    with pytest.raises(engine.EngineError, match=r"'movement-subject-86' .* failed: Arithmetic"):
        study.publish(2, lambda line: None)
    assert [count for count, _ in asked] == [2]
    monkeypatch.setattr(mocap, "recordings", lambda: [first, second])
    with pytest.raises(engine.EngineError, match=r"'movement-three' .* \(and 3 more\)"):
        study.publish(3, lambda line: None)
    assert [count for count, _ in asked[1:]] == [3] * 4
    # each training has a checkpoint of its own to go on from
    assert len({name for _, name in asked}) == len(asked)


def test_a_job_refuses_other_movements_than_it_was_given_out_for(small, monkeypatch):
    synthetic.patch_study(monkeypatch, small[0])
    monkeypatch.setattr(training, "fit_ensemble", None)
    jobs = study._jobs(mocap.sequences(mocap.ACTIONS), mocap.recordings(), 1)
    for job in jobs:
        asked = job.settings["data_sha256"]
        digit = "1" if asked[0] == "0" else "0"
        told = f"movements here have sha256 {asked}, and the job asks for {digit}{asked[1:]}: give"
        with pytest.raises(engine.EngineError, match=told):
            job.work(**job.settings | {"data_sha256": digit + asked[1:]})


def test_the_published_study_is_whole(published):
    data, told = published.data, published.provenance
    networks = told["networks"]
    assert networks >= 3
    assert study._facts(networks).items() <= told.items()
    sizes = {"epoch": protocols.AUTHORS.recipe.epochs + 1, "choice": protocols.CHOICES}
    sizes |= {"network": networks, "task": 4, "view": 3, "plain_view": 3, "clustering": 3}
    sizes |= {"recording": 7, "state": 2, "smoothing": 2, "count": 2}
    assert sizes.items() <= data.sizes.items()
    assert data["task"].to_numpy().tolist() == ["three", "five", "three_short", "five_short"]
    assert data["clustering"].to_numpy().tolist() == list(scoring.METHODS)
    assert data["smoothing"].to_numpy().tolist() == list(protocols.SUBJECT_86.seconds)
    assert data["action"].to_numpy().tolist() == list(mocap.ACTIONS)
    assert all(np.isfinite(array).all() for array in data.data_vars.values())
    stored = checkout.root() / "results" / "movement"
    assert sum(path.stat().st_size for path in stored.iterdir()) < 1e6


def test_published_rows_without_training_are_recomputed(published, real_data):
    frames, labels = protocols.concatenate(protocols.TASKS["three"], mocap.sequences(mocap.ACTIONS))
    rows = embeddings.frame_rows([frames], [frames], protocols.SHORT)
    again = scoring.joined_table(rows, labels, protocols.SHORT, np.random.default_rng(0))
    task = published.data.sel(task="three_short")
    for name, array in scoring.by_name("authors_plain", again[0], scoring.AGREEMENT).items():
        np.testing.assert_allclose(task[name], array, atol=0.02, err_msg=name)
    made = mocap.recordings()
    assert [each.name for each in made] == published.provenance["recordings"]
    digest = protocols.checksum([each.frames for each in made])
    assert digest == published.provenance["sha256_of_recordings"]
    plan, own = protocols.SUBJECT_86, protocols.scale_each(made)[3]
    fresh = fitting.untrained(own.shape[1], plan, 0)
    rows = embeddings.state_rows(fresh, [own], [own], plan)
    ways = scoring.methods_for_count(len(np.unique(made[3].labels)), np.random.default_rng(0))
    again = scoring.subject_table(rows, made[3], plan, ways)
    row = published.data.sel(recording=made[3].name, count="given", network=0, state="untrained")
    for name, array in scoring.by_name("subject", again, scoring.SCORES).items():
        np.testing.assert_allclose(row[name], array, atol=0.02, err_msg=name)


def test_published_gauge_and_roles_without_training_are_recomputed(published, real_parts):
    plan, row = protocols.HELD_OUT, published.data.sel(choice=0, network=0, held_epoch=0)
    fresh = fitting.untrained(real_parts.held[0].shape[1], plan, 0)
    rows = embeddings.state_rows(fresh, real_parts.held, real_parts.training, plan)
    again = scoring.gauge(rows, len(mocap.ACTIONS), np.random.default_rng(0))
    np.testing.assert_allclose(row["held_gauge"], again, atol=0.02)
    error = fitting.error(fresh, real_parts.held, plan)
    assert float(row["held_loss"]) == pytest.approx(error, rel=1e-3)
    roles = geometry.roles(fresh, real_parts, plan)
    np.testing.assert_allclose(row["held_roles"].sel(state="untrained"), roles, atol=0.01)
