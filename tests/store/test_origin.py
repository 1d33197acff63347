from rnnatomy.store import origin


def test_provenance_tells_commit_versions_and_device():
    found = origin.provenance("make results", seed=3)
    assert found["command"] == "make results" and found["seed"] == 3
    assert set(origin.PACKAGES) | {"python"} == set(found["versions"])
    assert found["device"].startswith("cpu, ") and found["cores"] >= 1 and found["system"]


def test_provenance_outside_a_repository_does_not_know_its_commit(root):
    assert origin.provenance("make results")["commit"] == "unknown"
