"""Time the decomposition of snapshots against its peers, in one run.

All are timed in turn, A B C A B C, and the medians and the ratios to ours are printed: first with
the threads that BLAS takes by itself, which is slow and unsteady where other programs share the
cores; then, with the slower solvers too, with one thread. Figures of different runs, or of
different machines, do not compare.
"""

from collections.abc import Callable

import numpy as np
from library import report, seconds
from sklearn.decomposition import PCA
from threadpoolctl import ThreadpoolController, threadpool_limits

from rnnatomy.analysis import pod

ROUNDS = 9
SNAPSHOTS, HIDDEN, MODES = 280_000, 128, 10


def in_turn(ours: tuple[str, Callable], peers: dict[str, Callable]) -> None:
    """Time one callable against each of its peers, after one call of each that is not counted."""
    label, function = ours
    functions = [function, *peers.values()]
    times = np.array([[seconds(one) for one in functions] for _ in range(1 + ROUNDS)])[1:]
    for column, peer in enumerate(peers, start=1):
        report((peer, label), times[:, [column, 0]])


def fit(states: np.ndarray, solver: str, modes: int | None = None) -> Callable:
    return lambda: PCA(modes, svd_solver=solver, random_state=0).fit(states)


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((SNAPSHOTS, HIDDEN), np.float32)
    states = np.tanh(normal + np.float32(0.3))
    shifted = states + np.float32(1000)
    centred = "pod, centred", lambda: pod.pod(states, centred=True)
    uncentred = "pod, not centred", lambda: pod.pod(states, centred=False)
    far = "pod, centred, mean 1000", lambda: pod.pod(shifted, centred=True)
    product = {"one product X.T @ X": lambda: states.T @ states}
    fast = product | {"PCA, covariance_eigh": fit(states, "covariance_eigh")}
    slow = {
        "PCA, full": fit(states, "full"),
        f"PCA, arpack, {MODES} modes": fit(states, "arpack", MODES),
        f"PCA, randomized, {MODES} modes": fit(states, "randomized", MODES),
    }
    print(f"{SNAPSHOTS:,} x {HIDDEN} single-precision snapshots; ratio: time of the peer by ours")
    for library in ThreadpoolController().select(user_api="blas").info():
        print(f"BLAS: {library['internal_api']}, {library['num_threads']} threads")
    in_turn(centred, fast)
    print("BLAS: 1 thread")
    with threadpool_limits(1, user_api="blas"):
        in_turn(centred, fast)
        in_turn(centred, slow)
        in_turn(uncentred, product)
        in_turn(far, product)
