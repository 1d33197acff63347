"""Networks whose truth is planted by hand, and what they are asked."""

from typing import NamedTuple

import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import found, load, owner, proof, ways
from rnnatomy.studies.yours import asked, looked

FEATURE, CLASSES, EACH = 4, 4, 6
NAMES = ("a", "b", "c", "d")


def stacked(feature, hidden, classes, seed=0, **options):
    """A random network of any kind, its normalisation too."""
    network = models.Stacked(feature, hidden, classes, **options, rngs=nnx.Rngs(seed))
    return with_arrays(network, seed, **{name: None for name in biases(network)})


def biases(network):
    names = access.flatten(network)
    return [name for name in names if name.endswith("bias") or name.startswith("normalise")]


def with_arrays(network, seed=0, **arrays):
    """A network with some arrays; None: drawn at random."""
    held, rng = access.flatten(network), np.random.default_rng(seed)
    for name, array in arrays.items():
        drawn = rng.normal(size=held[name].shape) if array is None else array
        held[name] = np.asarray(drawn, np.float32)
    access.unflatten(held, network)
    return network


def zero(network, **arrays):
    """A network of zeros, but for some arrays."""
    none = {name: np.zeros_like(array) for name, array in access.flatten(network).items()}
    return with_arrays(network, **{**none, **arrays})


def elman():
    """Its state is the last frame; unit k carries class k, but the first two classes hang on one
    direction: unit 0, with either sign.
    """
    kernel = np.array([[9, -9, 0, 0], [-1, -1, 4, -2], [-1, -1, -1, 3], [0, 0, 0, 0]])
    return zero(
        models.Stacked(FEATURE, [FEATURE], CLASSES, cell="elman", rngs=nnx.Rngs(0)),
        **{
            "layer_0.dense_i.kernel": np.eye(FEATURE),
            "layer_0.dense_h.kernel": np.eye(FEATURE) / 1000,
            "readout.bias": [0, 0, 1, 1],
            "readout.kernel": kernel,
        },
    )


def sequences(seed=1, each=EACH):
    """Small noise, and in the last frame of each what tells its class to ``elman``."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(CLASSES), each)
    inputs = rng.normal(size=(len(labels), 6, FEATURE)).astype(np.float32) * 0.1
    lengths = rng.integers(3, 7, len(labels))
    place, sign = np.array([0, 0, 1, 2])[labels], np.array([1, -1, 1, 1])[labels]
    inputs[np.arange(len(labels)), lengths - 1, place] = sign
    inputs[np.arange(6) >= lengths[:, None]] = 0
    return owner.Owner(inputs, lengths, labels, None, None, NAMES, ())


def data(inputs, lengths=None, **given):
    """The owner's data, of which most is not given."""
    full = np.full(len(inputs), inputs.shape[1])
    inputs = np.asarray(inputs, np.float32)
    empty = owner.Owner(inputs, full if lengths is None else lengths, *(None,) * 4, ())
    return empty._replace(**given)


def noise(samples=20, frames=7, feature=3, seed=0):
    """Random sequences of unequal lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, frames + 1, samples)
    lengths[0] = frames
    inputs = rng.normal(size=(samples, frames, feature)).astype(np.float32)
    return np.where((np.arange(frames) < lengths[:, None])[..., None], inputs, 0), lengths


def foreign(network, given, output="logits"):
    """A network as if it had come from a file."""
    kernel, bias = (access.flatten(network)[f"readout.{part}"] for part in ("kernel", "bias"))
    config = network.config
    head = found.Head("fc", kernel, bias)
    way = ways.Way(config["cell"], None, config["reads"], head, output)
    what = found.Found((config["cell"],), (), None, (head,))
    return load.Foreign(network, proof.Proof(way, 0.0, 1e-5, 3, 1), what, "PyTorch", given, ())


def ask(network, given, output="logits", seed=0):
    return asked.ask(foreign(network, given, output), np.random.default_rng(seed))


class Planted(NamedTuple):
    """``elman`` and what it makes of ``sequences``."""

    task: asked.Task
    run: looked.Run


def planted():
    task = ask(elman(), sequences()).task
    return Planted(task, looked.run(elman(), task))


def save(path, network, head="fc", **more):
    """Write an Elman network as PyTorch would."""
    arrays = access.flatten(network)
    held = {
        "rnn.weight_ih_l0": arrays["layer_0.dense_i.kernel"].T,
        "rnn.weight_hh_l0": arrays["layer_0.dense_h.kernel"].T,
        "rnn.bias_ih_l0": arrays["layer_0.dense_i.bias"],
        "rnn.bias_hh_l0": np.zeros_like(arrays["layer_0.dense_i.bias"]),
        f"{head}.weight": arrays["readout.kernel"].T,
        f"{head}.bias": arrays["readout.bias"],
    }
    held = {name: np.ascontiguousarray(array, np.float32) for name, array in (held | more).items()}
    save_file(held, path)
    return path
