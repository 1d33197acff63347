"""Movements that are drawn, and the study of them: every activity swings at a rate of its own."""

import jax
import numpy as np
from flax import nnx

from rnnatomy.data import mocap
from rnnatomy.networks import training
from rnnatomy.store import checkout
from rnnatomy.studies.movement import protocols, scoring

RECIPE = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)
TINY = protocols.Plan(
    step=2, read=4, predict=4, stride=2, apart=2, hidden=5, recipe=RECIPE, seconds=(0.0, 0.1)
)
RATES = {action: 0.2 + 0.15 * k for k, action in enumerate(mocap.ACTIONS)}


def motion(rate, columns, frames, seed):
    """Every column swings about a place of its own, at one rate."""
    rng = np.random.default_rng(seed)
    place, phase = rng.normal(size=columns), rng.uniform(0, 6, columns)
    swing = np.sin(rate * np.arange(frames)[:, None] + phase)
    return (place + swing + 0.01 * rng.normal(size=swing.shape)).astype(np.float32)


def sequence(action, number=1, frames=40):
    moved = motion(RATES[action], 117, frames, mocap.ACTIONS.index(action))
    return mocap.Sequence(f"{action}_{number}", action, moved + 0.01 * number, mocap.RATE)


def recording(name, seed, order=(0, 1, 2, 0), length=40):
    kinds = [motion(0.3 + 0.3 * k, 96, length, seed + k) for k in range(3)]
    best = length * np.arange(1, len(order))
    return mocap.Recording(
        name,
        np.concatenate([kinds[k] for k in order]),
        tuple(f"activity {k}" for k in order),
        np.repeat(order, length),
        best,
        np.stack([best - 8, best + 8], axis=1),
        mocap.RATE,
    )


def not_fitted(create, loss, train, recipe, keys, measure, checkpoint):
    """Stand in for training, which takes long to compile: networks change a little each epoch."""
    models = [create(key) for key in keys]
    graph, _ = nnx.split(models[0])
    parameters = jax.tree.map(lambda *leaves: np.stack(leaves), *map(nnx.state, models))
    history = {}
    for epoch in range(recipe.epochs):
        for name in measure(models[0]):
            leaves = np.stack([measure(model)[name] for model in models])
            history.setdefault(name, []).append(leaves * (1 + 0.1 * epoch))
    stacked = {name: np.stack(leaves) for name, leaves in history.items()}
    return training.Fitted(graph, parameters, stacked)


def patch_study(monkeypatch, folder):
    """Let the study be one of few networks that are not fitted, on movements that are drawn."""

    def sequences(actions):
        counts = {"washwindow": 1, "directing_traffic": 2}
        return [sequence(a, n) for a in actions for n in range(1, counts.get(a, 3) + 1)]

    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(training, "fit_ensemble", not_fitted)
    monkeypatch.setattr(mocap, "sequences", sequences)
    monkeypatch.setattr(mocap, "recordings", lambda: [recording("01", 0), recording("07", 50)])
    monkeypatch.setattr(protocols, "AUTHORS", TINY._replace(step=1, seconds=(0.0,)))
    monkeypatch.setattr(protocols, "SHORT", TINY._replace(step=1, stride=4, seconds=(0.0,)))
    monkeypatch.setattr(protocols, "HELD_OUT", TINY)
    monkeypatch.setattr(protocols, "SUBJECT_86", TINY)
    monkeypatch.setattr(protocols, "CHOICES", 1)
    monkeypatch.setattr(protocols, "TASKS", {"three": protocols.TASKS["three"]})
    monkeypatch.setattr(scoring, "CANDIDATES", (2, 3, 4))
    monkeypatch.setattr(scoring, "SHORTEST", 6)
    # k-means with its ten starts takes most of the time
    fast = dict(scoring.METHODS)
    fast["k-means"] = fast.pop("Ward")
    monkeypatch.setattr(scoring, "METHODS", fast)
