"""The array library of the tests here: CuPy where there is a device, and everywhere the stand-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import emulated_cupy
import pytest


def has_device() -> bool:
    try:
        import cupy

        return bool(cupy.cuda.runtime.getDeviceCount())
    except Exception:
        return False


LIBRARIES = ["emulated", pytest.param("cupy", marks=pytest.mark.skipif(not has_device(), reason="there is no GPU with CuPy here"))]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """For tests that run no kernel of a program's: the stand-in needs no compiler for these."""
    if request.param == "emulated":
        monkeypatch.setitem(sys.modules, "cupy", emulated_cupy)
    import cupy

    return cupy


@pytest.fixture
def xp(request: pytest.FixtureRequest, library: Any) -> Any:
    """For tests that run kernels."""
    if library is emulated_cupy and emulated_cupy.COMPILER is None:
        pytest.skip("there is no C++ compiler on this machine to run the kernels on the processor")
    return library
