"""Fixtures that PyTorch writes."""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cases as common
import numpy as np
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import rnn as ragged

OUTPUTS = {
    "logits": nn.Identity,
    "softmax": partial(nn.Softmax, dim=-1),
    "log-softmax": partial(nn.LogSoftmax, dim=-1),
    "sigmoid": nn.Sigmoid,
}
BETWEEN = {"": nn.Identity, "layernorm": nn.LayerNorm, "batchnorm": nn.BatchNorm1d}


class Spec(NamedTuple):
    """A network: recurrent layers, a way to read them, and a linear readout.

    Attributes:
        name: of the case.
        suffix: of the file.
        names: of the recurrent layers and of the readout in the module.
        between: "layernorm" or "batchnorm": what stands between them.
        packed: whether sequences have unequal lengths.
    """

    name: str
    cell: str = "lstm"
    layers: int = 1
    reads: str = "last"
    output: str = "logits"
    suffix: str = ".safetensors"
    names: tuple[str, str] = ("lstm", "fc")
    bidirectional: bool = False
    bias: bool = True
    nonlinearity: str = "tanh"
    batch_first: bool = True
    between: str = ""
    packed: bool = False
    dtype: str = "float32"
    outputs: int = common.CLASSES


SPECS = (
    Spec("lstm-1"),
    Spec("lstm-2", layers=2, suffix=".pt", names=("rnn", "linear")),
    Spec("lstm-3", layers=3, batch_first=False, reads="each"),
    Spec("gru-1", "gru", suffix=".pt", names=("gru", "out")),
    Spec("gru-2", "gru", 2, batch_first=False, names=("encoder", "classifier")),
    Spec("gru-3", "gru", 3, "mean"),
    Spec("rnn-1", "elman", names=("rnn", "fc"), suffix=".pt", batch_first=False),
    Spec("rnn-2", "elman", 2, "each", names=("rnn", "fc")),
    Spec("rnn-3", "elman", 3, "final", names=("rnn", "fc")),
    Spec("rnn-relu", "elman", names=("rnn", "fc"), nonlinearity="relu"),
    Spec("lstm-no-bias", bias=False),
    Spec("gru-no-bias", "gru", bias=False, suffix=".pt"),
    Spec("lstm-each", reads="each", output="log-softmax"),
    Spec("lstm-mean", reads="mean", output="sigmoid"),
    Spec("gru-max", "gru", reads="max", output="softmax"),
    Spec("lstm-final", layers=2, reads="final", names=("lstm", "head")),
    Spec("lstm-bidirectional-last", bidirectional=True),
    Spec("lstm-bidirectional-final", layers=2, reads="final", bidirectional=True, suffix=".pt"),
    Spec("gru-bidirectional-last", "gru", 2, bidirectional=True),
    Spec("gru-bidirectional-final", "gru", reads="final", bidirectional=True),
    Spec("lstm-half", dtype="float16"),
    Spec("lstm-half-pt", dtype="float16", suffix=".pt"),
    Spec("gru-bfloat16", "gru", dtype="bfloat16"),
    Spec("gru-bfloat16-pt", "gru", dtype="bfloat16", suffix=".pt"),
    Spec("lstm-packed-last", packed=True),
    Spec("lstm-packed-mean", packed=True, reads="mean"),
    Spec("gru-packed-each", "gru", packed=True, reads="each"),
    Spec("gru-packed-final", "gru", 2, packed=True, reads="final", bidirectional=True),
    Spec("lstm-layernorm", between="layernorm"),
    Spec("lstm-batchnorm", between="batchnorm", suffix=".pt"),
)


class Network(nn.Module):
    """What a ``Spec`` says."""

    def __init__(self, spec: Spec):
        super().__init__()
        self.spec = spec
        setattr(self, spec.names[0], recurrent(spec))
        width = common.HIDDEN * (1 + spec.bidirectional)
        self.norm = BETWEEN[spec.between](width)
        setattr(self, spec.names[1], nn.Linear(width, spec.outputs, bias=spec.bias))
        self.shape = OUTPUTS[spec.output]()

    def forward(self, x, lengths=None):
        states, final = states_of(getattr(self, self.spec.names[0]), x, lengths)
        hidden = read(self.spec.reads, states, final, lengths)
        return self.shape(getattr(self, self.spec.names[1])(self.norm(hidden)))


def recurrent(spec: Spec) -> nn.Module:
    """Return the recurrent layers."""
    kinds = {"lstm": nn.LSTM, "gru": nn.GRU, "elman": nn.RNN}
    more = {"nonlinearity": spec.nonlinearity} if spec.cell == "elman" else {}
    return kinds[spec.cell](
        common.FEATURES,
        common.HIDDEN,
        spec.layers,
        bias=spec.bias,
        batch_first=spec.batch_first,
        bidirectional=spec.bidirectional,
        dropout=0.2 if spec.layers > 1 else 0,
        **more,
    )


def states_of(layers: nn.Module, x, lengths=None):
    """Return states (sample, time, hidden) of the top layer, and h_n (sample, hidden) of it."""
    x = x if layers.batch_first else x.transpose(0, 1)
    if lengths is not None:
        x = ragged.pack_padded_sequence(x, lengths, layers.batch_first, enforce_sorted=False)
    states, final = layers(x)
    if lengths is not None:
        states, _ = ragged.pad_packed_sequence(states, layers.batch_first)
    final = final[0] if isinstance(final, tuple) else final
    final = torch.cat((final[-2], final[-1]), -1) if layers.bidirectional else final[-1]
    return states if layers.batch_first else states.transpose(0, 1), final


def read(reads: str, states, final, lengths=None):
    """Return what the readout reads of the top layer's states."""
    if reads == "mean" and lengths is not None:
        return states.sum(1) / lengths[:, None]  # what follows the last frame is zero
    if reads == "last" and lengths is not None:
        return states[torch.arange(len(lengths)), lengths - 1]
    return {
        "last": lambda: states[:, -1],
        "each": lambda: states,
        "mean": lambda: states.mean(1),
        "max": lambda: states.amax(1),
        "final": lambda: final,
    }[reads]()


def draw(module: nn.Module, name: str) -> nn.Module:
    """Give a module random weights, and what it remembers of batches; end training."""
    rng = common.generator(name)
    with torch.no_grad():
        for key, array in module.state_dict().items():
            if array.is_floating_point():
                drawn = torch.from_numpy(common.weights(rng, tuple(array.shape)))
                positive = key.endswith(("running_var", "norm.weight"))
                array.copy_(drawn.abs() + 0.5 if positive else drawn)
    return module.eval()


def network(name: str, spec: Spec | None = None) -> nn.Module:
    """Return the network of a case, with its weights."""
    return draw(Network(spec or Spec(name)), name)


def answered(folder: Path, name: str, model: nn.Module, x: np.ndarray, **more) -> str:
    """Write inputs and outputs of a case."""
    given = [torch.from_numpy(more["lengths"])] if "lengths" in more else []
    with torch.no_grad():
        outputs = model(torch.from_numpy(x), *given).numpy()
    return common.keep(folder, name, inputs=x, outputs=outputs, **more)


def save(state: Any, path: Path) -> None:
    """Write a state_dict, as its suffix says."""
    (safetensors.torch.save_file if path.suffix == ".safetensors" else torch.save)(state, path)


def kept(folder: Path, name: str, suffix: str, model: nn.Module, content: Any, **told) -> dict:
    """Write a case with ordinary inputs, and describe it."""
    data = answered(folder, name, model, common.sequences(name))
    save(content, folder / (name + suffix))
    return described(name + suffix, data, **told)


def described(file: str, data: str, **told) -> dict:
    """Describe a case of PyTorch."""
    return common.case(file, data, "PyTorch", torch.__version__, **told)


def told_of(spec: Spec) -> dict[str, Any]:
    """Say of a network what the list of cases has."""
    plain = Spec("")
    told = {"cell": spec.cell, "layers": spec.layers, "bidirectional": spec.bidirectional}
    told |= {"reads": spec.reads, "output": spec.output}
    unusual = ("bias", "nonlinearity", "batch_first", "dtype")
    told |= {k: getattr(spec, k) for k in unusual if getattr(spec, k) != getattr(plain, k)}
    return told | ({spec.between: True} if spec.between else {})


def ordinary(folder: Path, spec: Spec) -> dict:
    """Write the state_dict of a network; of half precision, outputs are those of the same weights
    in float32.
    """
    name = f"torch-{spec.name}"
    model = network(name, spec).to(getattr(torch, spec.dtype))
    save(model.state_dict(), folder / (name + spec.suffix))
    more = {"lengths": common.LENGTHS} if spec.packed else {}
    data = answered(folder, name, model.float(), common.sequences(name), **more)
    return described(name + spec.suffix, data, **told_of(spec))


def predictor(folder: Path) -> dict:
    """A network that says each next frame, and so can go on by itself."""
    name = "torch-predictor"
    model = network(name, Spec(name, "gru", reads="each", outputs=common.FEATURES))
    frames = common.waves(name)
    data = answered(folder, name, model, frames[:, :-1], targets=frames[:, 1:])
    save(model.state_dict(), folder / f"{name}.safetensors")
    return described(f"{name}.safetensors", data, cell="gru", reads="each", predicts="next frame")


class ByCell(nn.Module):
    """An LSTM as a loop over a cell."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(common.FEATURES, common.HIDDEN)
        self.fc = nn.Linear(common.HIDDEN, common.CLASSES)

    def forward(self, x):
        state = None
        for frame in x.unbind(1):
            state = self.cell(frame, state)
        return self.fc(state[0])


def by_cell(folder: Path) -> dict:
    """Names without _l0."""
    name = "torch-lstm-cell"
    model = draw(ByCell(), name)
    return kept(folder, name, ".pt", model, model.state_dict())


def wrapped(folder: Path) -> list[dict]:
    """Names with a prefix, as wrappers give them."""
    parallel, compiled = network("torch-data-parallel"), network("torch-compiled")
    states = nn.DataParallel(parallel).state_dict(), torch.compile(compiled).state_dict()
    return [
        kept(folder, "torch-data-parallel", ".pt", parallel, states[0], prefix="module."),
        kept(folder, "torch-compiled", ".safetensors", compiled, states[1], prefix="_orig_mod."),
    ]


def optimised(model: nn.Module) -> torch.optim.Optimizer:
    """Return Adam after a step; the model stays as it is."""
    before = {key: array.clone() for key, array in model.state_dict().items()}
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(torch.ones(1, common.TIME, common.FEATURES)).sum().backward()
    adam.step()
    model.load_state_dict(before)
    return adam


def checkpoints(folder: Path) -> list[dict]:
    """A state_dict among other things, as trainers keep it."""
    one, two = "torch-lightning", "torch-checkpoint"
    models = network(one), network(two)
    lightning = {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{k}": array for k, array in models[0].state_dict().items()},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 3}}}},
        "callbacks": {"EarlyStopping": {"wait_count": 0, "best_score": torch.tensor(0.25)}},
        "optimizer_states": [optimised(models[0]).state_dict()],
        "lr_schedulers": [],
        "hyper_parameters": {"hidden": common.HIDDEN, "lr": 1e-3},
    }
    plain = {
        "epoch": 3,
        "model_state_dict": models[1].state_dict(),
        "optimizer_state_dict": optimised(models[1]).state_dict(),
        "loss": 0.25,
    }
    return [
        kept(folder, one, ".ckpt", models[0], lightning, prefix="model.", nested="state_dict"),
        kept(folder, two, ".pt", models[1], plain, nested="model_state_dict"),
    ]


class WithHeads(nn.Module):
    """An LSTM whose last state is read by what is given."""

    def __init__(self, **heads: nn.Module):
        super().__init__()
        self.lstm = nn.LSTM(common.FEATURES, common.HIDDEN, batch_first=True)
        for name, head in heads.items():
            setattr(self, name, head)
        self.first = next(iter(heads))

    def hidden(self, x):
        return self.lstm(x)[0][:, -1]

    def forward(self, x):
        return getattr(self, self.first)(self.hidden(x))


def two_heads(folder: Path) -> dict:
    """Two readouts: ``outputs`` is what ``fc`` says, ``aux`` what ``aux`` says."""
    name, x = "torch-two-heads", common.sequences("torch-two-heads")
    heads = {"fc": nn.Linear(common.HIDDEN, common.CLASSES), "aux": nn.Linear(common.HIDDEN, 2)}
    model = draw(WithHeads(**heads), name)
    with torch.no_grad():
        aux = model.aux(model.hidden(torch.from_numpy(x))).numpy()
    data = answered(folder, name, model, x, aux=aux)
    save(model.state_dict(), folder / f"{name}.safetensors")
    return described(f"{name}.safetensors", data, heads=["fc", "aux"])


def deep_head(folder: Path) -> dict:
    """A readout of two linear layers with a ReLU between, which the file does not tell."""
    name = "torch-mlp-head"
    head = nn.Sequential(nn.Linear(common.HIDDEN, 6), nn.ReLU(), nn.Linear(6, common.CLASSES))
    model = draw(WithHeads(head=head), name)
    told = {"heads": ["head.0", "head.2"], "between": "relu"}
    return kept(folder, name, ".safetensors", model, model.state_dict(), **told)


class Projected(nn.Module):
    """An LSTM with proj_size."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(common.FEATURES, common.HIDDEN, proj_size=2, batch_first=True)
        self.fc = nn.Linear(2, common.CLASSES)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class Embedded(nn.Module):
    """An LSTM over tokens."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(9, common.FEATURES)
        self.lstm = nn.LSTM(common.FEATURES, common.HIDDEN, batch_first=True)
        self.fc = nn.Linear(common.HIDDEN, common.CLASSES)

    def forward(self, x):
        return self.fc(self.lstm(self.embedding(x))[0][:, -1])


def of_other_parts(folder: Path) -> list[dict]:
    """State_dicts with parts that are no recurrent layers and no readout."""
    one, two = "torch-projected", "torch-embedding"
    projected, embedded = draw(Projected(), one), draw(Embedded(), two)
    tokens = common.generator(two).integers(0, 9, size=(common.SAMPLES, common.TIME))
    data = answered(folder, two, embedded, tokens)
    save(embedded.state_dict(), folder / f"{two}.safetensors")
    return [
        kept(folder, one, ".pt", projected, projected.state_dict(), refused="proj_size"),
        described(f"{two}.safetensors", data, refused="embedding"),
    ]


def nameless(path: Path) -> None:
    """Drop the paths of this machine from an archive: its notes for debuggers."""
    with zipfile.ZipFile(path) as archive:
        files = {i.filename: archive.read(i) for i in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if not name.endswith(".debug_pkl"):
                archive.writestr(zipfile.ZipInfo(name), content)


def of_other_forms(folder: Path) -> list[dict]:
    """Files that hold code, or are of a form that is not read: all of the same network."""
    name = "torch-other-forms"
    model, x = network(name), common.sequences(name)
    traced = torch.jit.trace(model, torch.from_numpy(x))
    writers: dict[str, Callable[[Path], None]] = {
        "pickled module": lambda path: torch.save(model, path),
        "TorchScript": lambda path: (traced.save(str(path)), nameless(path)),
        "legacy": lambda path: torch.save(
            model.state_dict(), path, _use_new_zipfile_serialization=False
        ),
    }
    data = answered(folder, name, model, x)
    told = []
    for what, write in writers.items():
        file = f"torch-{what.lower().replace(' ', '-')}.pt"
        write(folder / file)
        told.append(described(file, data, refused=what))
    return told


def cases(folder: Path) -> list[dict]:
    """Write all cases of PyTorch."""
    one_each = (predictor, by_cell, two_heads, deep_head)
    several = (wrapped, checkpoints, of_other_parts, of_other_forms)
    return (
        [ordinary(folder, spec) for spec in SPECS]
        + [make(folder) for make in one_each]
        + [case for make in several for case in make(folder)]
    )
