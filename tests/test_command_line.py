"""The command line: output, exit codes, one line for bad input, and a quick start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compgraph.__main__ import TEXTBOOK, main


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_trace(capsys):
    code, out, err = run(capsys, "trace", TEXTBOOK, "x1=0.5", "x2=1", "--mode", "reverse")
    assert code == 0 and err == ""
    assert "v6 = v3 * v5  = 2.148721 * 0.5  1.074361" in out
    assert "3.473082" in out and "-3.885262" in out


def test_trace_formats(capsys):
    assert run(capsys, "trace", "x*x", "x=3", "--format", "latex")[1].startswith(r"\begin{tabular}")
    assert run(capsys, "trace", "x*x", "x=3", "--format", "html")[1].startswith("<div class=\"compgraph-table\">")
    out = run(capsys, "trace", "x*y", "x=3", "y=2", "--mode", "forward", "--seed", "y", "--no-numbers")[1]
    assert "seed x_dot = 0, y_dot = 1" in out and "3 * 2" not in out


def test_values_may_be_constant_expressions(capsys):
    assert " 1\n" in run(capsys, "trace", "sin(x)", "x=pi/2")[1]


def test_check(capsys):
    code, out, _ = run(capsys, "check", TEXTBOOK, "x1=0.5", "x2=1")
    assert code == 0 and out.endswith("f: all 12 derivatives agree\n")


def test_source_is_a_program_that_runs(capsys, tmp_path):
    for mode in ("primal", "forward", "reverse"):
        code, out, _ = run(capsys, "source", "sin(x) * x", "--mode", mode)
        assert code == 0
        program = tmp_path / f"{mode}.py"
        arguments = {"primal": "0.5", "forward": "0.5, 1.0", "reverse": "0.5, 1.0"}[mode]
        name = {"primal": "f"}.get(mode, f"f_{mode}")
        program.write_text(out + f"\n\nprint({name}({arguments}))\n")
        result = subprocess.run([sys.executable, "-I", str(program)], capture_output=True, text=True, check=True)
        assert "0.2397127693" in result.stdout


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "dot"])
def test_draw(capsys, tmp_path, suffix, can_draw):
    can_draw(suffix)
    target = tmp_path / f"f.{suffix}"
    code, out, err = run(capsys, "draw", TEXTBOOK, "x1=0.5", "x2=1", "--mode", "reverse", "--partials", "-o", str(target))
    assert (code, err) == (0, "") and str(target) in out
    start = {"svg": b"<", "png": b"\x89PNG", "pdf": b"%PDF", "dot": b"digraph"}[suffix]
    assert target.read_bytes().lstrip().startswith(start)


def test_draw_without_values_shows_the_structure(capsys, tmp_path, can_draw):
    can_draw("svg")
    assert run(capsys, "draw", "x*y", "-o", str(tmp_path / "f.svg"))[0] == 0
    assert run(capsys, "draw", "x*y", "--direction", "TB", "-o", str(tmp_path / "f.dot"))[0] == 0
    assert "rankdir=TB" in (tmp_path / "f.dot").read_text(encoding="utf-8")


def test_doctor_says_how_to_get_what_is_missing(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    for part in (
        "numpy", "sympy", "networkx", "graphviz", "pygraphviz", "numba", "matplotlib", "scikit-learn", "safetensors", "onnx", "dot", "cupy",
    ):  # fmt: skip
        assert f"\n  {part} " in out
    for form in ("svg", "png", "pdf"):
        assert f"\n  {form} " in out


def test_demo(capsys, tmp_path, can_draw):
    can_draw("svg")
    code, out, _ = run(capsys, "demo", "-o", str(tmp_path / "pictures"))
    assert code == 0
    assert "def f_reverse(x1, x2, v6_bar):" in out and "3.473082" in out
    assert (tmp_path / "pictures" / "textbook.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "x^2", "x=3"], "write ** for a power"),
        (["trace", "x*y", "x=3"], "no value for y"),
        (["trace", "x", "x"], "is not NAME=VALUE"),
        (["trace", "x", "x=3", "x=4"], "given twice"),
        (["trace", "x", "y=3"], "no input 'y'"),
        (["trace", "x", "x=a"], "a value is a number"),
        (["trace", "x", "x="], "empty"),
        (["trace", "x", "x=3", "--seed", "x"], "--seed goes with --mode forward"),
        (["trace", "x", "x=3", "--mode", "forward", "--seed", "q"], "no input 'q'"),
        (["trace", "1 + 1", "--mode", "forward"], "no floating-point input"),
        (["check", "foo(x)", "x=1"], "unknown function 'foo'"),
        (["source", "import os"], "cannot read"),
        (["draw", "x", "x=1", "-o", "picture.bmp"], ".bmp"),
        (["draw", "x", "x=1", "-o", "no/such/folder/x.svg"], "no/such/folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == ""
    assert err.startswith("compgraph: ") and err.count("\n") == 1 and message in err
    assert list(tmp_path.iterdir()) == []


def test_wrong_options_are_argparse_errors():
    with pytest.raises(SystemExit) as caught:
        main(["trace", "x", "--mode", "sideways"])
    assert caught.value.code == 2


def test_it_starts_without_the_heavy_imports():
    heavy = {"sympy", "networkx", "graphviz", "matplotlib", "viz"}
    program = f"import sys; from compgraph.__main__ import main; main(['trace', 'x*x', 'x=3']); print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("[]")


def test_as_a_module():
    root = Path(__file__).parent.parent
    result = subprocess.run([sys.executable, "-m", "compgraph", "--version"], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.startswith("compgraph ")
