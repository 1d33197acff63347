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
from pathlib import Path
from typing import Any

import nbformat

from rnnatomy.report import chapters, pages, parameters, site, sweep_page, tables
from rnnatomy.store import checkout, commands, disk, scratch

CHAPTER = "yours"

ERRORS = (*chapters.ERRORS, site.SiteError)


def make_report(given: dict[str, Any], output: Path) -> float:
    """Make a report, in a folder that gets the page, its numbers, arrays and the executed notebook.

    Args:
        given: parameters of the chapter *Your own network*: "network" and "data" at least. If the
            network is a folder of checkpoints, the last one is looked at, and all are followed.
        output: the folder; what it holds of an earlier report stands until the new one is whole.

    Returns:
        Wall time in seconds.

    Raises:
        ForeignError: before anything is written, if a file cannot be taken.
        SiteError: if the folder holds what is no report.
        ChapterError: if the page cannot be made.
    """
    from rnnatomy.networks.foreign import load, owner, ways  # JAX, which --help does not wait for
    from rnnatomy.studies.yours import course

    if os.path.isdir(given["network"]):
        folder = Path(given["network"])
        given = {"along": str(folder)} | given | {"network": str(course.checkpoints(folder)[-1])}
        given["along"] = given["along"] or str(folder)
    parameters.check_values(CHAPTER, given)
    ways.told(given.get("told", ""))
    site.check_place(output)
    load.find(load.read(Path(given["network"])))
    owner.read(Path(given["data"]))
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(output.parent) as aside:
        path, page = aside / f"{CHAPTER}.ipynb", aside / "page"
        seconds = _run(given, path)
        notebook = nbformat.read(path, as_version=4)
        arrays = pages.carried(notebook)
        site.build_page(path, f"What {Path(given['network']).name} has learnt", page)
        disk.write(page / "report.ipynb", nbformat.writes(_light(notebook)).encode())
        disk.write(page / "report.json", json.dumps(_facts(given, notebook), indent=1).encode())
        if arrays is not None:
            disk.write(page / "arrays.npz", arrays)
        scratch.replace(output, page, aside / "old")
    return seconds


def _run(given: dict[str, Any], path: Path) -> float:
    """Run the chapter; what it refuses is said as it says it, without the place in the notebook."""
    from rnnatomy.networks.foreign.raw import ForeignError

    try:
        return chapters.run_chapter(CHAPTER, given, path)
    except chapters.ChapterError as error:
        cause = error.__cause__
        if getattr(cause, "ename", "") == ForeignError.__name__:
            raise ForeignError(str(getattr(cause, "evalue", error))) from None
        raise


def _light(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook without what widgets carry: they work on the page alone."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if 'class="widget' in output.get("data", {}).get("text/html", ""):
                output["data"].pop("text/html")
    return notebook


def _facts(given: dict[str, Any], notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Return every number of a report: those of its text, and its tables."""
    notebook = pages.left_out(notebook)
    texts = [
        output["data"]["text/markdown"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    numbers = sweep_page.glued(notebook)
    found = [tables.read(text) for text in texts]
    kept = {"proof": numbers["you_proof"], "numbers": numbers}
    return {"given": given} | kept | {"tables": [one for one in found if one]}


def main() -> None:
    """Make a report."""
    from rnnatomy.networks.foreign.raw import ForeignError

    commands.run(_main, (*ERRORS, ForeignError), "the report of before stands.")


def _main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m rnnatomy", description=__doc__, formatter_class=raw)
    subcommands = parser.add_subparsers(dest="command", required=True)
    report = subcommands.add_parser("report", description=__doc__, formatter_class=raw)
    report.add_argument("network", help="file with its weights, or a folder of checkpoints")
    report.add_argument("data", help="file with sequences, labels or targets, and outputs")
    report.add_argument("--output", default="report", help="folder of the report")
    report.add_argument("--before", default="", help="file with its weights before training")
    report.add_argument("--along", default="", help="folder with checkpoints of its training")
    report.add_argument(
        "--told", default="", metavar="WORDS",
        help="what the file leaves open: readout=NAME reads=last|ends|mean|max|each "
        "output=logits|softmax|log-softmax|sigmoid cell=NAME, those that are known",
    )  # fmt: skip
    report.add_argument("--frame", default="zero", help="what it is fed for ever: zero or mean")
    options = parser.parse_args()
    paths = {
        name: value and os.path.abspath(os.path.expanduser(value))
        for name in ("network", "data", "before", "along")
        for value in [getattr(options, name)]
    }
    given = paths | {"told": options.told, "frame": options.frame}
    output = Path(os.path.abspath(os.path.expanduser(options.output)))
    checkout.root()
    seconds = make_report(given, output)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"The report: {output / 'index.html'} ({size / 2**20:.1f} MB, {seconds:.0f} s)")


if __name__ == "__main__":
    main()
