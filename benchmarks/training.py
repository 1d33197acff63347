"""Time training side by side with PyTorch and with this library's older code, in one run.

An LSTM of 128 units learns from batches of 128 sequences of 28 x 28 in single precision: AdamW,
gradients clipped by their global norm, a one-cycle learning rate. Every way is a process that is
started and warmed up first; then all are timed in turn, A B C A B C. The last line is JSON: the
medians, and the ratios that are to be small.

    python benchmarks/training.py [COMMIT]

COMMIT is of the older code; without Git, or in a copy without that commit, it is left out.
"""

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "build" / "peers"
BEFORE = "1b161d7"
"""The last commit in which gradients of whole sequences were left to JAX."""

ROUNDS = 7
BATCH, FRAMES, FEATURE, HIDDEN, CLASSES = 128, 28, 28, 128, 10
STEPS = 100
LIVE = 55_000, 5_000
"""Images that the training chapter learns from, and those that it follows the training on."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}

Tell = Callable[[float], None]
"""Is told the milliseconds of a step of a round, and returns when the next is to begin."""


def torch_steps(tell: Tell, threads: str) -> None:
    """Train in PyTorch, as it is fastest: a fused LSTM and a fused optimiser."""
    import torch

    if threads != "default":
        torch.set_num_threads(int(threads))
    cell, readout = torch.nn.LSTM(FEATURE, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, 10)
    parameters = [*cell.parameters(), *readout.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=8e-3, weight_decay=1e-2, fused=True)
    total = (ROUNDS + 1) * STEPS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=8e-3, total_steps=total)
    images, labels = map(torch.from_numpy, data(BATCH * STEPS))
    order = torch.randperm(len(images)).split(BATCH)
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        for rows in order:
            optimiser.zero_grad(set_to_none=True)
            _, (hidden, _) = cell(images[rows])
            loss = torch.nn.functional.cross_entropy(readout(hidden[0]), labels[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
            optimiser.step()
            schedule.step()
        tell((time.perf_counter() - start) * 1e3 / STEPS)


def our_steps(tell: Tell, split: str) -> None:
    """Train a network with this library, on its part of the cores or split over two devices."""
    fit(tell, data(BATCH * STEPS), None, split == "split")


def live_training(tell: Tell, split: str) -> None:
    """Train as the training chapter does: an epoch of many images, and a measurement after it."""
    train, validation = data(LIVE[0]), data(LIVE[1])
    fit(tell, train, validation, split == "split")


def fit(tell: Tell, train: Any, validation: Any, split: bool) -> None:
    """Time each epoch but the first, in which everything is compiled."""
    from rnnatomy.networks import training

    if split:
        training.split_batches()

    import jax
    from flax import nnx

    from rnnatomy.networks import models

    followed = validation and tuple(map(jax.numpy.asarray, validation))
    training.fit(
        lambda key: models.Classifier(FEATURE, HIDDEN, CLASSES, rngs=nnx.Rngs(key)),
        training.cross_entropy,
        train,
        training.Recipe(epochs=ROUNDS + 1, batch=BATCH),
        jax.random.key(0),
        measure=followed and (lambda model: training.evaluate(model, *followed)),
        report=lambda epoch: tell(epoch.seconds * 1e3 / (len(train[0]) // BATCH)),
    )


def data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images of noise, and a class for each."""
    rng = np.random.default_rng(samples)
    images = rng.random((samples, FRAMES, FEATURE), np.float32)
    return images, rng.integers(0, CLASSES, samples)


WORK = {"torch": torch_steps, "ours": our_steps, "live": live_training}


def serve(work: str, how: str) -> None:
    """Do work in rounds: each begins when a line is read, and ends with a line that tells a time.

    The first is for warming up.
    """

    def tell(milliseconds: float) -> None:
        print(milliseconds, flush=True)
        if not sys.stdin.readline():
            sys.exit()

    sys.stdin.readline()
    WORK[work](tell, how)


class Way:
    """One way to train: one or more processes that work at the same time."""

    def __init__(self, python: Path, work: str, how: str, count: int = 1, **settings: str):
        command = [str(python), __file__, "serve", work, how]
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", **settings}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.processes = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
        self.times: list[float] = []

    def round(self) -> float:
        """Return the milliseconds of a step, per network."""
        for process in self.processes:
            process.stdin.write("go\n")
        told = [process.stdout.readline() for process in self.processes]
        if not all(told):
            raise RuntimeError(f"a process ended: {self.processes[0].args}")
        return float(np.mean([float(line) for line in told])) / len(self.processes)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def peers() -> Path:
    """Return the Python of PyTorch's environment, made if it is not there."""
    python, ready = PEERS / "bin" / "python", PEERS / "ready"
    needed = ROOT / "benchmarks" / "requirements-peers.txt"
    if not ready.is_file() or ready.read_text() != needed.read_text():
        print(f"Setting up {PEERS} (once; PyTorch takes a few minutes)", flush=True)
        venv.create(PEERS, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet", "-r", needed]
        subprocess.run(install, check=True)
        ready.write_text(needed.read_text())
    return python


def older(commit: str) -> Path | None:
    """Return the folder of the library as it was at a commit; None if Git does not know it."""
    folder = ROOT / "build" / "before" / commit
    if not folder.is_dir():
        packed = subprocess.run(
            ["git", "archive", commit, "lib"], cwd=ROOT, capture_output=True, check=False
        )
        if packed.returncode:
            return None
        folder.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return folder / "lib"


def ways(commit: str) -> Iterator[tuple[str, Way]]:
    """Start every way to train, by name."""
    torch, here = peers(), Path(sys.executable)
    yield "PyTorch, alone", Way(torch, "torch", "default")
    yield "PyTorch, alone, 2 threads", Way(torch, "torch", "2")
    yield "PyTorch, side by side", Way(torch, "torch", "1", 2, **ONE_THREAD)
    yield "ours, alone", Way(here, "ours", "split")
    yield "ours, side by side", Way(here, "ours", "whole", 2, **ONE_THREAD)
    yield "live", Way(here, "live", "split")
    folder = older(commit)
    if folder is None:
        print(f"Git does not know {commit} here: the older code is left out.", flush=True)
        return
    before = {"PYTHONPATH": str(folder)}
    yield "older code, alone", Way(here, "ours", "whole", **before)
    yield "live, older code", Way(here, "live", "whole", **before)


def compare(commit: str) -> None:
    """Time all ways in turn, and print a table and the ratios."""
    started: dict[str, Way] = {}
    try:
        for name, way in ways(commit):
            started[name] = way
            way.round()  # warms up
            print(f"  ready: {name}", flush=True)
        for _ in range(ROUNDS):
            for way in started.values():
                way.times.append(way.round())
    finally:
        for way in started.values():
            way.end()
    medians = {name: float(np.median(way.times)) for name, way in started.items()}
    for name, way in started.items():
        least, most = min(way.times), max(way.times)
        print(
            f"  {name:28s} {medians[name]:7.2f} ms a step and network ({least:.2f} to {most:.2f})"
        )
    print(json.dumps({"milliseconds": medians, "ratios": ratios(medians)}))


def ratios(medians: dict[str, float]) -> dict[str, float]:
    """Return what is to be small: our time by the time of the better alternative."""
    alone = min(medians["PyTorch, alone"], medians["PyTorch, alone, 2 threads"])
    found = {
        "side by side": medians["ours, side by side"]
        / min(alone, medians["PyTorch, side by side"]),
        "alone": medians["ours, alone"] / alone,
    }
    if "live, older code" in medians:
        found["live training"] = medians["live"] / medians["live, older code"]
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
    else:
        compare(*sys.argv[1:2] or [BEFORE])
