"""Write small networks with PyTorch, Keras and Flax themselves, and what they answer.

    python make.py [FOLDER]

in an environment with ``requirements.txt``. FOLDER is ``tests/networks/foreign/fixtures`` unless
said otherwise. Each case is a weight file and a .npz with ``inputs`` (sample, time, feature) and
``outputs``, which the owner's model gave, not in training; where sequences are of unequal length
also ``lengths`` (sample), or a ``mask`` (sample, time), true for real frames. ``cases.json`` lists
all cases. Its fields:

    file, data, framework, version
    cell           "lstm", "gru", "gru-before" (the reset gate acts before the product) or "elman"
    layers         how many
    hidden         units of a layer, or a list with those of each
    bidirectional  whether a second set reads each sequence from its end
    reads          what the readout reads: the "last" frame's hidden state (of both directions),
                   "each" frame's, their "mean" or "max" over time, or "final": h_n, which are the
                   last states that each direction comes to
    output         what stands in ``outputs``: "logits", "softmax", "log-softmax" or "sigmoid"
    refused        only where no network can be had from the file: why
    bias, nonlinearity, batch_first, dtype, layernorm, prefix, ...: what else is not as usual

In a sequence of unequal length the frames that are not real are noise, but in Keras, which tells
them by their value. Where "each" frame is read, ``outputs`` has what the model gave there too.

Weights are drawn, biases too, by fixed seeds. Times stand in some files: two runs differ in bytes.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

import from_flax
import from_keras
import from_onnx
import from_torch

FOLDER = Path(__file__).resolve().parents[1] / "networks" / "foreign" / "fixtures"


def main(folder: Path) -> None:
    """Write all cases and their list."""
    folder.mkdir(parents=True, exist_ok=True)
    clear(folder)
    found = [
        case
        for maker in (from_torch, from_onnx, from_keras, from_flax)
        for case in maker.cases(folder)
    ]
    lines = ",\n".join(json.dumps(case) for case in found)
    (folder / "cases.json").write_text(f"[\n{lines}\n]\n")
    for path in folder.iterdir():
        path.chmod(0o644)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(found)} cases, {size} bytes in {folder}")


def clear(folder: Path) -> None:
    """Remove the cases of an earlier run, and no other files."""
    listed = folder / "cases.json"
    if listed.exists():
        for case in json.loads(listed.read_text()):
            for name in (case["file"], case["data"]):
                (folder / Path(name).name).unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
