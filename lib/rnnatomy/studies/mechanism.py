"""Why a direction carries a class: interventions on the readout, with predictions of what follows.

Written down before any network was counted: (1) the direction that carries a class is the one in
which the class has its largest entry |u_ck|; (2) what a class loses without a direction, it loses
through its own entry: taking that entry away costs the same as cutting the direction, and taking
away those of all other classes costs little; (3) with its entry swapped with that of the class at
the other end, the class is lost; (4) the number of the direction does not matter: a carrier with
the singular value of another direction stays the carrier, and only carries more or less; (5) all of
this follows from the clouds of the classes in the training part, to 0.1 of recall. Each can fail.
"""

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import collapse, correlation, geometry, interventions, svd
from rnnatomy.store import disk
from rnnatomy.studies import questions

INTERVENTIONS = (
    "nothing",
    "direction cut",
    "own entry cut",
    "entries of the others cut",
    "own entry halved",
    "own entry times 1.5",
    "entries swapped with the opponent",
    "singular value exchanged with the fifth",
    "singular value exchanged with the first",
    "singular value exchanged with the ninth",
    "weakest own entry cut",
)
"""What is done to the carrier of a class; the last to the direction of its smallest entry."""

DRAWS = 2_000
"""So many samples are drawn from the cloud of each class for a prediction."""

GEOMETRY = (
    "aligned with means",
    "aligned with whitened means",
    "aligned with a simplex",
    "means aligned with a simplex",
    "distances, means",
    "distances, whitened means",
)
"""How W is compared with the class means of the training part: as matrices by the cosine of their
inner products, and the 45 distances between classes by rank correlation."""

AXES = {
    "carrier": ("network", "digit"),
    "opponent": ("network", "digit"),
    "measured": ("network", "intervention", "digit"),
    "predicted": ("network", "intervention", "digit"),
    "answers": ("network", "digit", "answer"),
    "foreseen": ("network", "digit"),
    "geometry": ("network", "comparison"),
}
"""Axes of what is published, see ``intervene`` and ``compare``."""


def intervene(
    network: questions.Network,
    seen: Float[np.ndarray, "sample hidden"],
    shown: Int[np.ndarray, " sample"],
    rng: np.random.Generator,
) -> disk.Arrays:
    """Change what the carrier of each class writes, and predict its recall from the training part.

    Args:
        network: a readout and what it reads.
        seen: final hidden states of samples of the training part.
        shown: their classes.
        rng: source of the draws.

    Returns:
        By name, with the axes of ``AXES`` but the network's: "carrier", the direction of the
        largest entry of each class, and "opponent", the class at its other end; recall of the
        class after each of ``INTERVENTIONS``, "measured" and "predicted"; with the carrier cut,
        how often the class is read as what, "answers", and as which other class most often by
        prediction, "foreseen".
    """
    parts = svd.svd(network.readout)
    classes = len(network.bias)
    along, noise = network.states @ parts.Vt.T, rng.normal(size=(DRAWS, classes))
    clouds = interventions.fit_clouds(seen @ parts.Vt.T, shown)
    carrier = np.abs(parts.U[:, : classes - 1]).argmax(axis=1).tolist()
    written = interventions.writes(parts)
    opponents = [interventions.opponent(written, c, carrier[c]) for c in range(classes)]
    measured, predicted, answers, foreseen = [], [], [], []
    for label in range(classes):
        changed = _changes(parts, label, carrier[label], opponents[label])
        own = along[network.labels == label]
        logits = [own @ matrix.T + network.bias for matrix in changed]
        measured.append([np.mean(z.argmax(axis=1) == label) for z in logits])
        predicted.append(
            [interventions.predict_recall(m, network.bias, clouds, noise)[label] for m in changed]
        )
        answers.append(np.bincount(logits[1].argmax(axis=1), minlength=classes))
        drawn = (noise @ clouds.roots[label] + clouds.means[label]) @ changed[1].T + network.bias
        wrong = np.bincount(drawn.argmax(axis=1), minlength=classes)
        wrong[label] = -1
        foreseen.append(wrong.argmax())
    return {
        "carrier": np.add(carrier, 1, dtype=np.uint8, casting="unsafe"),
        "opponent": np.asarray(opponents, np.uint8),
        "measured": np.asarray(np.transpose(measured), np.float16),
        "predicted": np.asarray(np.transpose(predicted), np.float16),
        "answers": np.asarray(answers, np.uint16),
        "foreseen": np.asarray(foreseen, np.uint8),
    }


def compare(
    readout: Float[np.ndarray, "class hidden"],
    seen: Float[np.ndarray, "sample hidden"],
    shown: Int[np.ndarray, " sample"],
) -> disk.Arrays:
    """Compare a readout with the class means, as they are and whitened, and with a simplex.

    A linear reader that takes the classes for normal distributions of one covariance S has the
    rows S^-1 m of the means m (Fisher's discriminant): classes that lie close need rows that lie
    far apart. So the distances between the rows need not follow those between the means, however
    well rows and means are aligned.

    Args:
        readout: W.
        seen: final hidden states of samples of the training part.
        shown: their classes.

    Returns:
        "geometry", in the order of ``GEOMETRY``.

    Reference:
        Fisher (1936).
    """
    means = collapse.class_means(seen, shown)
    inner = (seen - means[shown]).astype(np.float64)
    within = inner.T @ inner / len(inner)
    ridge = 1e-3 * np.trace(within) / len(within) * np.eye(len(within))
    whitened = np.linalg.solve(within + ridge, means.T).T
    W, M, F = (svd.centre_classes(matrix) for matrix in (readout, means, whitened))
    simplex = svd.centre_classes(np.eye(len(readout)))
    apart, *others = (geometry.pair_distances(matrix) for matrix in (W, M, F))
    values = [
        np.sum(W * M) / (np.linalg.norm(W) * np.linalg.norm(M)),
        np.sum(W * F) / (np.linalg.norm(W) * np.linalg.norm(F)),
        _cosine(W @ W.T, simplex),
        _cosine(M @ M.T, simplex),
        *correlation.along(np.stack([apart, apart]), np.stack(others)),
    ]
    return {"geometry": np.asarray(values, np.float32)}


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of two matrices, taken as long vectors."""
    return float(np.vdot(first, second) / (np.linalg.norm(first) * np.linalg.norm(second)))


def _changes(parts: svd.SVD, label: int, mode: int, opponent: int) -> list[np.ndarray]:
    """Return what directions write after each of ``INTERVENTIONS``."""
    written, classes = interventions.writes(parts), len(parts.U)
    weakest = int(np.abs(parts.U[label, : classes - 1]).argmin())
    scale = interventions.scale
    places = (min(4, classes - 2), 0, classes - 2)
    return [
        written,
        written * (np.arange(classes) != mode),
        scale(written, label, mode, 0),
        scale(written, label, mode, 0, others=True),
        scale(written, label, mode, 0.5),
        scale(written, label, mode, 1.5),
        interventions.swap_classes(written, mode, label, opponent),
        *(interventions.exchange_values(parts, mode, place) for place in places),
        scale(written, label, weakest, 0),
    ]
