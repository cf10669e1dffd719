"""A graph, or the graphs of one function for three sizes of its batch, as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from compgraph.graph import Graph, provides
from compgraph.onnx_export.arrays import ARRAYS
from compgraph.onnx_export.batch import with_batch_axis
from compgraph.onnx_export.elementwise import ELEMENTWISE
from compgraph.onnx_export.files import model_of
from compgraph.onnx_export.indices import INDICES
from compgraph.onnx_export.program import Row, program_of
from compgraph.whole_files import write_whole

ROWS: dict[str, Row] = {**ELEMENTWISE, **ARRAYS, **INDICES}


@provides("Graph.to_onnx")
def to_onnx(graph: Graph, path: str | os.PathLike[str]) -> Path:
    """Write the graph, with the shapes it was traced for, as an ONNX file; the path.

    Inputs keep their names. Variables that the function closes over are initialisers under their names, with their values of
    now. Outputs are called after the user's variable where a node has a name, and else `output`, or `output1`, `output2`.
    The file passes ONNX's checker before anything is written, and is there whole or not at all. Raises `MissingRuleError`
    for operations that ONNX has not, with the line of each, and `MissingDependencyError` without the package `onnx`.
    """
    return written([graph], path)


def written(graphs: Sequence[Graph], path: str | os.PathLike[str]) -> Path:
    programs = [program_of(graph, ROWS) for graph in graphs]
    program = programs[0] if len(programs) == 1 else with_batch_axis(programs)
    return write_whole(path, model_of(program.tidy()).SerializeToString())
