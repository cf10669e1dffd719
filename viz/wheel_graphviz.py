"""A program: DOT on standard input -> picture on standard output, by the Graphviz inside pygraphviz' wheel.

It runs in a process of its own, so that what goes wrong inside a C library costs a picture and not the session.
pygraphviz loads plug-ins that need X11 and GLib from the system. A machine without a desktop may lack these; Graphviz
itself and its SVG writer need nothing, so there they are called directly.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from pathlib import Path


def draw(dot: bytes, form: str) -> bytes:
    """The picture in any format, through pygraphviz."""
    import pygraphviz

    picture: bytes = pygraphviz.AGraph(string=dot.decode()).draw(format=form, prog="dot")
    return picture


def draw_svg(dot: bytes) -> bytes:
    """The picture as SVG, with nothing but the layout and the core of Graphviz (`gvc.h`, Graphviz as a library, section 2)."""
    spec = importlib.util.find_spec("pygraphviz")
    if spec is None or spec.origin is None:
        raise OSError("pygraphviz is not installed")
    folder = Path(spec.origin).parent.parent / "pygraphviz.libs"

    def load(name: str) -> ctypes.CDLL:
        found = sorted(folder.glob(f"lib{name}-*"))
        if not found:
            raise OSError(f"the pygraphviz here brings no lib{name}")
        return ctypes.CDLL(str(found[0]))

    cgraph, gvc = load("cgraph"), load("gvc")
    cgraph.agmemread.restype = gvc.gvContext.restype = ctypes.c_void_p
    context = ctypes.c_void_p(gvc.gvContext())
    for name in ("core", "dot_layout"):
        library = ctypes.c_char.in_dll(load(f"gvplugin_{name}"), f"gvplugin_{name}_LTX_library")
        gvc.gvAddLibrary(context, ctypes.byref(library))
    # Without a font library Graphviz measures by tables, and Courier is the monospaced font that they hold.
    graph = ctypes.c_void_p(cgraph.agmemread(re.sub(rb'fontname="[^"]*"', b'fontname="Courier"', dot)))
    text, length = ctypes.c_char_p(), ctypes.c_size_t()
    failed = not graph or gvc.gvLayout(context, graph, b"dot")
    if failed or gvc.gvRenderData(context, graph, b"svg", ctypes.byref(text), ctypes.byref(length)):
        raise OSError("Graphviz could not lay the graph out")
    return ctypes.string_at(text, length.value)


def main(form: str) -> int:
    dot = sys.stdin.buffer.read()
    try:
        picture = draw(dot, form)
    except ImportError as error:
        if form != "svg":
            print(f"pygraphviz needs a library that this system lacks ({error}); SVG works without it", file=sys.stderr)
            return 1
        picture = draw_svg(dot)
    sys.stdout.buffer.write(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
