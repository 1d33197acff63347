"""Train an LSTM with PyTorch to tell nine speakers apart: a network as an owner has it.

    python train.py FOLDER

in an environment with ``tests/peers/requirements.txt``. FOLDER has ``JapaneseVowels_TRAIN.ts`` and
``JapaneseVowels_TEST.ts`` of the UEA archive. Nothing of rnnatomy is used. What is written stands
beside this script: ``model.safetensors``, checkpoints ``epoch-NNN.safetensors``, ``test.npz`` with
all test utterances and what the network answers, and ``facts.json``.

The last 6 of each speaker's 30 utterances in the training file validate. The network that is kept
is that after the epoch whose validation loss is lowest; the test file is read once, at the end.
"""

import json
import platform
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

HERE = Path(__file__).resolve().parent
FEATURES, HIDDEN, SPEAKERS, LONGEST = 12, 64, 9, 29
HELD = 6
SEED, EPOCHS, BATCH, RATE = 0, 60, 24, 1e-2
CHECKPOINTS = (0, 1, 3, 10, 30, 60)


class Speakers(nn.Module):
    """The state after the last frame, read by a linear layer."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.linear = nn.Linear(HIDDEN, SPEAKERS)

    def forward(self, frames, lengths):
        """Give logits (sample, speaker) from frames (sample, time, feature)."""
        packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        return self.linear(hidden[-1])


def read(path: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Read a file: frames padded with zeros, lengths, and numbers of speakers from 0."""
    lines = path.read_text().splitlines()
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    frames = np.zeros((len(rows), LONGEST, FEATURES), np.float32)
    lengths = np.zeros(len(rows), np.int64)
    for k, (*series, _) in enumerate(rows):
        values = np.array([one.split(",") for one in series], np.float32).T
        frames[k, : len(values)], lengths[k] = values, len(values)
    speakers = np.array([int(row[-1]) - 1 for row in rows])
    return torch.from_numpy(frames), torch.from_numpy(lengths), torch.from_numpy(speakers)


def held(speakers: torch.Tensor) -> torch.Tensor:
    """Mark the utterances that validate."""
    last = torch.zeros(len(speakers), dtype=torch.bool)
    for speaker in range(SPEAKERS):
        last[torch.nonzero(speakers == speaker).flatten()[-HELD:]] = True
    return last


def epoch(model: nn.Module, adam: torch.optim.Optimizer, part: list[torch.Tensor]) -> None:
    """Go once through the training part."""
    for rows in torch.randperm(len(part[0])).split(BATCH):
        frames, lengths, speakers = (array[rows] for array in part)
        loss = nn.functional.cross_entropy(model(frames, lengths), speakers)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()


@torch.no_grad()
def judged(model: nn.Module, part: list[torch.Tensor]) -> tuple[float, float]:
    """Return loss and accuracy."""
    logits = model(*part[:2])
    loss = nn.functional.cross_entropy(logits, part[2]).item()
    return loss, (logits.argmax(-1) == part[2]).double().mean().item()


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copy the weights."""
    return {key: array.clone() for key, array in model.state_dict().items()}


def fit(train: list[torch.Tensor], validation: list[torch.Tensor]) -> tuple[dict, list]:
    """Return weights by epoch, from epoch 0 before training, and losses and accuracies."""
    torch.manual_seed(SEED)
    model = Speakers()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    states, course = {0: state(model)}, [judged(model, validation)]
    for number in range(1, EPOCHS + 1):
        epoch(model, adam, train)
        states[number] = state(model)
        course.append(judged(model, validation))
    return states, course


def main(folder: Path) -> None:
    """Train, keep, test."""
    torch.set_num_threads(1)
    known = read(folder / "JapaneseVowels_TRAIN.ts")
    validates = held(known[2])
    train, validation = ([array[rows] for array in known] for rows in (~validates, validates))
    states, course = fit(train, validation)
    best = min(range(1, EPOCHS + 1), key=lambda number: course[number][0])
    for number in CHECKPOINTS:
        save_file(states[number], HERE / f"epoch-{number:03}.safetensors")
    save_file(states[best], HERE / "model.safetensors")
    model = Speakers()
    model.load_state_dict(states[best])
    test = list(read(folder / "JapaneseVowels_TEST.ts"))
    with torch.no_grad():
        outputs = model(*test[:2]).numpy()
    keep(test, outputs)
    accuracy = float((outputs.argmax(-1) == test[2].numpy()).mean())
    facts = told(folder) | {
        "epoch": best,
        "validation_loss": round(course[best][0], 4),
        "validation_accuracy": round(course[best][1], 4),
        "test_accuracy": round(accuracy, 4),
    }
    (HERE / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"epoch {best}: validation {course[best]}, test accuracy {accuracy:.4f}")


def keep(test: list[torch.Tensor], outputs: np.ndarray) -> None:
    """Write the test utterances, and what the network answers."""
    inputs, lengths, labels = (array.numpy() for array in test)
    names = np.array([f"speaker {k}" for k in range(1, SPEAKERS + 1)])
    arrays = {"inputs": inputs, "lengths": lengths, "labels": labels, "outputs": outputs}
    np.savez_compressed(HERE / "test.npz", **arrays, names=names)


def told(folder: Path) -> dict:
    """Say how the network came to be."""
    return {
        "command": "python train.py FOLDER",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "data": {
            path.name: sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.glob("JapaneseVowels_T*.ts"))
        },
        "seed": SEED,
        "epochs": EPOCHS,
        "batch": BATCH,
        "rate": RATE,
        "checkpoints": list(CHECKPOINTS),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
