"""A report on a network from elsewhere: what it has learnt, on one page.

    python -m rnnatomy report model.safetensors test.npz --output report

The weights: a state_dict of PyTorch as .safetensors, .pt or .pth; .keras or .weights.h5 of Keras 3;
.onnx; parameters of Flax as flat .safetensors or .msgpack. The data: an .npz with "inputs" (sample,
time, feature), "labels" (sample), "outputs" that the network gives to the first of these, and
"lengths" where sequences are of unequal length. Nothing in the files is run.

PyTorch   save_file(model.state_dict(), "model.safetensors")         # safetensors.torch
          outputs = model.eval()(torch.tensor(inputs)).detach().numpy()
Keras     model.save("model.keras"); outputs = model.predict(inputs)
Flax      Path("model.msgpack").write_bytes(flax.serialization.to_bytes(params))
          outputs = model.apply(params, inputs)
all       np.savez("test.npz", inputs=inputs, labels=labels, outputs=outputs)
"""

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

from rnnatomy.report import chapters, parameters, site, sweep_page
from rnnatomy.store import checkout, commands, disk, scratch

CHAPTER = "yours"

ERRORS = (*chapters.ERRORS, site.SiteError)


def make_report(given: dict[str, Any], output: Path) -> float:
    """Make a report, in a folder that gets the page, its numbers and the executed notebook.

    Args:
        given: parameters of the chapter *Your own network*: "network" and "data" at least.
        output: the folder; what it holds of an earlier report stands until the new one is whole.

    Returns:
        Wall time in seconds.

    Raises:
        ForeignError: before anything is written, if a file cannot be taken.
        SiteError: if the folder holds what is no report.
        ChapterError: if the page cannot be made.
    """
    from rnnatomy.networks.foreign import load  # JAX, which --help does not wait for
    from rnnatomy.report import yours

    parameters.check_values(CHAPTER, given)
    site.check_place(output)
    mine = load.load(given["network"], given["data"])
    yours.sequences(mine, np.random.default_rng(0))
    print(mine.proof)
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(output.parent) as aside:
        notebook = aside / f"{CHAPTER}.ipynb"
        seconds = chapters.run_chapter(CHAPTER, given, notebook)
        page = aside / "page"
        site.build_page(notebook, f"What {Path(given['network']).name} has learnt", page)
        shutil.copy(notebook, page / "report.ipynb")
        numbers = sweep_page.glued(nbformat.read(notebook, as_version=4))
        facts = {"given": given, "proof": str(mine.proof), "notes": mine.notes, "numbers": numbers}
        disk.write(page / "report.json", json.dumps(facts, indent=1).encode())
        scratch.replace(output, page, aside / "old")
    return seconds


def main() -> None:
    """Make a report."""
    from rnnatomy.networks.foreign.raw import ForeignError

    commands.run(_main, (*ERRORS, ForeignError), "the report of before stands.")


def _main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m rnnatomy", description=__doc__, formatter_class=raw)
    subcommands = parser.add_subparsers(dest="command", required=True)
    report = subcommands.add_parser("report", description=__doc__, formatter_class=raw)
    report.add_argument("network", help="file with its weights")
    report.add_argument("data", help="file with sequences, labels and outputs")
    report.add_argument("--output", default="report", help="folder of the report")
    report.add_argument("--before", default="", help="file with its weights before training")
    report.add_argument("--along", default="", help="folder with checkpoints of its training")
    report.add_argument("--frame", default="zero", help="what it is fed for ever: zero or mean")
    options = parser.parse_args()
    paths = {
        name: value and os.path.abspath(os.path.expanduser(value))
        for name in ("network", "data", "before", "along")
        for value in [getattr(options, name)]
    }
    output = Path(os.path.abspath(os.path.expanduser(options.output)))
    checkout.root()
    seconds = make_report(paths | {"frame": options.frame}, output)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"The report: {output / 'index.html'} ({size / 2**20:.1f} MB, {seconds:.0f} s)")


if __name__ == "__main__":
    main()
