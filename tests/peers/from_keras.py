"""Fixtures that Keras 3 writes, with its JAX backend."""

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import cases as common
import keras
import numpy as np
from keras import layers as L

SHAPE = (common.TIME, common.FEATURES)
PAD = -1.0
KERAS, H5 = ".keras", ".weights.h5"

STORED = ("keras-lstm.keras", "keras-gru.keras")
"""Models that stay as Keras has written them: it does not compress."""


def network(name: str, *parts: keras.Layer) -> keras.Model:
    """Return a sequential model, with its weights."""
    return draw(keras.Sequential([keras.Input(SHAPE), *parts], name="sequential"), name)


def draw(model: keras.Model, name: str) -> keras.Model:
    """Give a model random weights, biases too."""
    rng = common.generator(name)
    model.set_weights([common.weights(rng, w.shape) for w in model.get_weights()])
    return model


def answered(folder: Path, name: str, model: keras.Model, x: np.ndarray, **more) -> str:
    """Write inputs and outputs of a case."""
    return common.keep(folder, name, inputs=x, outputs=np.asarray(model(x, training=False)), **more)


def save(model: keras.Model, path: Path) -> None:
    """Write a whole model, or its weights alone."""
    if path.name.endswith(KERAS):
        model.save(path)
    else:
        model.save_weights(path)


def kept(
    folder: Path, name: str, model: keras.Model, suffixes: Sequence[str] = (KERAS,), **told
) -> list[dict]:
    """Write a case with ordinary inputs, one file of each suffix, and describe it."""
    data = answered(folder, name, model, common.sequences(name))
    return described(folder, name, data, model, suffixes, **told)


def described(folder: Path, name: str, data: str, model, suffixes=(KERAS,), **told) -> list[dict]:
    """Write a model's files, and describe them."""
    cases = []
    for suffix in suffixes:
        save(model, folder / (name + suffix))
        file = name + suffix
        cases.append(common.case(file, data, "Keras", keras.__version__, **told))
    return cases


def packed(folder: Path, cases: list[dict]) -> list[dict]:
    """Compress models but for those in ``STORED``, to save space; Keras reads them all the same."""
    for path in {folder / case["file"] for case in cases} - {folder / name for name in STORED}:
        if path.suffix != KERAS:
            continue
        with zipfile.ZipFile(path) as archive:
            files = {i.filename: archive.read(i) for i in archive.infolist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return cases


def dense(activation: str | None = None, **more) -> keras.Layer:
    """Return a readout."""
    return L.Dense(common.CLASSES, activation=activation, **more)


def plain(folder: Path) -> list[dict]:
    """One layer of each kind, read in each way."""
    H = common.HIDDEN
    one = {
        "lstm": ([L.LSTM(H), dense("softmax")], (KERAS, H5), {"output": "softmax"}),
        "gru-before": ([L.GRU(H, reset_after=False), dense()], (KERAS, H5), {"cell": "gru-before"}),
        "rnn": (
            [L.SimpleRNN(H, return_sequences=True), L.GlobalAveragePooling1D(), dense("sigmoid")],
            (KERAS,),
            {"cell": "elman", "reads": "mean", "output": "sigmoid"},
        ),
        "rnn-relu": (
            [
                L.SimpleRNN(H, activation="relu", return_sequences=True),
                L.TimeDistributed(dense(name="frames"), name="each"),
            ],
            (KERAS,),
            {"cell": "elman", "reads": "each", "nonlinearity": "relu"},
        ),
        "bidirectional": (
            [L.Bidirectional(L.LSTM(H)), dense()],
            (KERAS,),
            {"bidirectional": True, "reads": "final"},
        ),
        "no-bias": (
            [
                L.GRU(H, use_bias=False, return_sequences=True),
                L.GlobalMaxPooling1D(),
                dense(use_bias=False),
            ],
            (KERAS,),
            {"cell": "gru", "reads": "max", "bias": False},
        ),
    }
    cases = []
    for kind, (parts, suffixes, told) in one.items():
        name = f"keras-{kind}"
        cases += kept(folder, name, network(name, *parts), suffixes, **told)
    return cases


def stacked(folder: Path) -> list[dict]:
    """Two layers of different widths, with names, each frame read."""
    name = "keras-stacked"
    model = network(
        name,
        L.LSTM(common.HIDDEN, return_sequences=True, dropout=0.2, name="lower"),
        L.Dropout(0.5),
        L.LSTM(6, return_sequences=True, name="upper"),
        dense(name="frames"),
    )
    told = {"layers": 2, "hidden": [common.HIDDEN, 6], "reads": "each"}
    return kept(folder, name, model, (KERAS, H5), **told)


def trained(folder: Path) -> list[dict]:
    """A GRU after a step of training, with what the optimiser keeps."""
    name = "keras-gru"
    model = network(name, L.GRU(common.HIDDEN), dense("softmax"))
    model.compile("adam", "sparse_categorical_crossentropy")
    labels = np.arange(common.SAMPLES) % common.CLASSES
    model.fit(common.sequences(name), labels, verbose=0)
    return kept(folder, name, draw_again(model, name), cell="gru", output="softmax")


def draw_again(model: keras.Model, name: str) -> keras.Model:
    """Draw weights once more, apart from the optimiser's: training hardly moves biases from 0."""
    return draw(model, name + " again")


def padded(name: str, front: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs with frames of ``PAD``, at the end or in front, and their mask."""
    mask = common.real(common.LENGTHS)
    mask = mask[:, ::-1] if front else mask
    return np.where(mask[..., None], common.sequences(name), np.float32(PAD)), mask


def masked(folder: Path) -> list[dict]:
    """Sequences of unequal length; of the functional kind one, which also drops out."""
    H = common.HIDDEN
    given = keras.Input(SHAPE, name="frames")
    hidden = L.LSTM(H, recurrent_dropout=0.2)(L.Masking(PAD)(given))
    functional = keras.Model(given, dense()(L.Dropout(0.5)(hidden)), name="functional")
    one, two = "keras-functional", "keras-masked-front"
    model = draw(functional, one)
    x, mask = padded(one, front=False)
    cases = described(folder, one, answered(folder, one, model, x, mask=mask), model)
    averaged = L.GRU(H, return_sequences=True), L.GlobalAveragePooling1D(), dense()
    model = network(two, L.Masking(PAD), *averaged)
    x, mask = padded(two, front=True)
    data = answered(folder, two, model, x, mask=mask)
    return cases + described(folder, two, data, model, cell="gru", reads="mean")


def refused(folder: Path) -> list[dict]:
    """What only the config tells, and no cell has; and a layer that is code."""
    H = common.HIDDEN
    double = eval("lambda x: 2.0 * x")  # so that no path of this machine is in its code
    parts = {
        "activation": [L.LSTM(H, activation="relu"), dense()],
        "recurrent-activation": [L.LSTM(H, recurrent_activation="hard_sigmoid"), dense()],
        "backwards": [L.LSTM(H, go_backwards=True), dense()],
        "lambda": [L.Lambda(double), L.LSTM(H), dense()],
    }
    why = {
        "activation": "activation relu",
        "recurrent-activation": "recurrent_activation hard_sigmoid",
        "backwards": "go_backwards",
        "lambda": "a Lambda layer",
    }
    cases = []
    for kind, layers in parts.items():
        name = f"keras-{kind}"
        cases += kept(folder, name, network(name, *layers), refused=why[kind])
    return cases


def cases(folder: Path) -> list[dict]:
    """Write all cases of Keras."""
    makers: tuple[Callable[[Path], list[dict]], ...] = (plain, stacked, trained, masked, refused)
    return packed(folder, [case for make in makers for case in make(folder)])
