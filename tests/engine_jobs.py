"""Jobs for the tests of the engine: in a module of their own, as other processes import them."""

import os
import signal
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rnnatomy.studies import engine

FACTOR = 2.0


def scaled(x):
    return FACTOR * x


def walk(seed, steps, start=None):
    """A small computation of JAX and of NumPy, whose bits would tell threads apart."""
    key = jax.random.key(seed)
    matrix = jax.random.normal(key, (64, 64)) / 8
    state = jnp.ones(64) if start is None else jnp.asarray(start)

    def step(state, _):
        state = jnp.tanh(matrix @ state)
        return state, state.sum()

    state, sums = jax.lax.scan(step, state, None, steps)
    return {"state": np.asarray(state), "sums": np.asarray(sums), "svd": np.linalg.svd(matrix)[1]}


def slow_walk(seed, steps, seconds, calls):
    """``walk``, which takes its time and notes that it was called."""
    (Path(calls) / f"{seed}-{os.getpid()}-{time.time_ns()}").touch()
    time.sleep(seconds)
    return engine.Made(walk(seed, steps), {"seed": seed})


def onward(walked, factor):
    return {"state": scaled(walked.arrays["state"]) * factor}


def several(seed, calls):
    """For many seeds at once."""
    (Path(calls) / "-".join(map(str, seed))).touch()
    return [{"seed": np.array(one)} for one in seed]


def failing(seed):
    if seed == 1:
        raise ValueError("one is too many")
    return {"seed": np.array(seed)}


def dying(seed, calls):
    """Kill the process that works at it, if the seed is 1."""
    (Path(calls) / f"{seed}-{time.time_ns()}").touch()
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return {"seed": np.array(seed)}


def counting(seed, calls):
    """Goes on from its checkpoint; it is interrupted the first time."""
    path = engine.checkpoint()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
        raise RuntimeError("interrupted")
    return {"seed": np.array(seed), "half": np.array(path.read_text() == "half")}


def walks(count, calls, seconds=0.0):
    settings = {"steps": 50, "seconds": seconds, "calls": str(calls)}
    return [engine.Job(f"walk-{s}", slow_walk, {"seed": s, **settings}) for s in range(count)]
