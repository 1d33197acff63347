"""Fixtures that PyTorch's two exporters write: the older one, and the one with dynamo."""

import logging
import warnings
from pathlib import Path
from typing import Any

import cases as common
import from_torch
import numpy as np
import onnx
import torch
from onnx import reference

Spec = from_torch.Spec

SPECS = (
    Spec("lstm"),
    Spec("lstm-2", layers=2, reads="final", output="softmax"),
    Spec("gru", "gru"),
    Spec("gru-no-bias", "gru", bias=False),
    Spec("rnn", "elman", reads="each"),
    Spec("rnn-relu", "elman", nonlinearity="relu", batch_first=False),
    Spec("lstm-bidirectional", reads="mean", bidirectional=True),
)

EXPORTERS = {"torchscript": False, "dynamo": True}
"""The exporters, and how ``torch.onnx.export`` is told."""

FREE = ("lstm-2", "gru")
"""Networks that are exported for batches of any size."""


def exported(model: torch.nn.Module, x: torch.Tensor, path: Path, dynamo: bool, **more) -> None:
    """Write a network as a graph."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["x"], "output_names": ["y"]}
        torch.onnx.export(model, (x,), path, dynamo=dynamo, verbose=False, **names, **more)


def nameless(path: Path) -> onnx.ModelProto:
    """Drop what the exporter notes of the source, which has paths of this machine in it."""
    graph = onnx.load(path, load_external_data=False)
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info):
        del part.metadata_props[:]
    onnx.save(graph, path)
    return graph


def told_of(graph: onnx.ModelProto) -> dict[str, Any]:
    """Say what was written: the kinds of nodes, and how a GRU's reset gate acts."""
    nodes = graph.graph.node
    told = {"opset": next(o.version for o in graph.opset_import if not o.domain)}
    told["nodes"] = sorted({node.op_type for node in nodes})
    grus = [node for node in nodes if node.op_type == "GRU"]
    if grus:
        attributes = {a.name: a.i for node in grus for a in node.attribute}
        told["linear_before_reset"] = attributes.get("linear_before_reset", 0)
    return told


def distance(path: Path, x: np.ndarray, outputs: np.ndarray) -> float | str:
    """Say how far from the owner's outputs those are that onnx's reference evaluator gives."""
    try:
        (found,) = reference.ReferenceEvaluator(str(path)).run(None, {"x": x})
    except Exception as error:  # the evaluator lacks some forms
        return type(error).__name__
    return float(np.abs(found - outputs).max())


def ordinary(folder: Path, spec: Spec, exporter: str) -> dict:
    """Write a network's graph."""
    name = f"onnx-{spec.name}"
    model = from_torch.network(name, spec)
    x = common.sequences(name)
    data = from_torch.answered(folder, name, model, x)
    path, dynamo = folder / f"{name}-{exporter}.onnx", EXPORTERS[exporter]
    more = asked(dynamo, spec.name in FREE)
    exported(model, torch.from_numpy(x), path, dynamo, **more)
    told = told_of(nameless(path))
    with np.load(folder / data) as arrays:
        print(f"{path.name}: {told}, distance {distance(path, x, arrays['outputs'])}")
    if spec.cell == "elman" and dynamo:
        told["refused"] = "no recurrent node: it is unrolled"
    return described(path, data, exporter, **from_torch.told_of(spec), **told)


def asked(dynamo: bool, free: bool) -> dict[str, Any]:
    """Say how to export: all in one file, and with batches of one size or of any."""
    if dynamo:
        shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if free else {}
        return shapes | {"external_data": False}
    return {"dynamic_axes": {"x": {0: "batch"}}} if free else {}


def described(path: Path, data: str, exporter: str, **told) -> dict:
    """Describe a case of an exporter."""
    where = {"file": path.name, "data": data, "framework": "ONNX"}
    return common.case(**where, version=torch.__version__, exporter=exporter, **told)


def outside(folder: Path) -> dict:
    """A graph whose arrays are in a second file, as the newer exporter has it of itself."""
    name = "onnx-external"
    model, x = from_torch.network(name), common.sequences(name)
    data = from_torch.answered(folder, name, model, x)
    path = folder / f"{name}.onnx"
    exported(model, torch.from_numpy(x), path, True)
    nameless(path)
    return described(path, data, "dynamo", refused="arrays in a second file")


def before(folder: Path) -> dict:
    """A GRU whose reset gate acts before the product, as ONNX has it where nothing is said.

    No exporter of this version writes one: a graph is changed, and onnx's reference evaluator
    answers.
    """
    name, x = "onnx-gru-before", common.sequences("onnx-gru-before")
    path = folder / f"{name}.onnx"
    exported(from_torch.network(name, Spec(name, "gru")), torch.from_numpy(x), path, False)
    graph = nameless(path)
    (node,) = [node for node in graph.graph.node if node.op_type == "GRU"]
    (attribute,) = [a for a in node.attribute if a.name == "linear_before_reset"]
    node.attribute.remove(attribute)
    onnx.save(graph, path)
    (outputs,) = reference.ReferenceEvaluator(str(path)).run(None, {"x": x})
    data = common.keep(folder, name, inputs=x, outputs=outputs)
    told = {"exporter": "torchscript, changed", "cell": "gru-before"} | told_of(graph)
    where = {"file": path.name, "data": data, "framework": "ONNX", "version": onnx.__version__}
    return common.case(**where, **told)


def cases(folder: Path) -> list[dict]:
    """Write all cases of ONNX."""
    several = [ordinary(folder, spec, exporter) for spec in SPECS for exporter in EXPORTERS]
    return [*several, before(folder), outside(folder)]
