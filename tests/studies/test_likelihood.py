import numpy as np

from rnnatomy.studies import autoencoder, likelihood


def test_the_large_autoencoders_are_a_study_of_their_own(monkeypatch):
    given = []
    monkeypatch.setattr(autoencoder, "publish_groups", lambda *arguments: given.append(arguments))
    likelihood.publish(5, print)
    assert given == [("likelihood", autoencoder.LARGE_GROUPS, 5, print)]


def test_the_published_study_is_whole(load_published):
    study = load_published("likelihood")
    assert study.data["model"].to_numpy().tolist() == list(autoencoder.LARGE_GROUPS)
    assert study.data["network"].to_numpy().tolist() == [0, 1, 2]
    for name in autoencoder.LARGE_GROUPS:
        assert study.data.sizes["epoch"] == autoencoder.GROUPS[name].recipe.epochs
        # models were called otherwise when this was published
        described = autoencoder._describe(name)
        del described["model"]
        assert described.items() <= study.provenance["groups"][name].items()
    assert all(np.isfinite(array).all() for array in study.data.data_vars.values())
