"""Arrays in files: IDX (the form of MNIST), NPY and NPZ. Mapped into memory where they are not compressed, and never unpickled.

A mapped array takes address space and no memory: `X[indices]` reads those rows from the disk, so a set may be larger than the
machine's memory.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

import compgraph as cg
from optim.data.dataset import Array, Dataset

_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGE = (EOFError, OSError, ValueError, NotImplementedError, struct.error, zlib.error, zipfile.BadZipFile)
_MOST_AXES = 32  # as many as NumPy has had in all its versions


def idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file; mapped and read-only, or in memory where the file is compressed by gzip.

    MNIST is `Dataset(idx("train-images-idx3-ubyte"), idx("train-labels-idx1-ubyte"))`. The form is from its page (LeCun,
    Cortes, Burges): two zero bytes, the type, the number of axes, the axes as big-endian 32-bit numbers, the entries.
    Raises `InputError` for another file, and for one that is longer or shorter than its header says.
    """
    path = Path(path)
    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        if not packed:
            dtype, shape, start = _idx_header(plain, path)
            _check_size(path, path.stat().st_size - start, dtype, shape)
            return _mapped(path, dtype, start, shape)
        try:
            with gzip.open(plain) as file:
                dtype, shape, _ = _idx_header(file, path)
                content = file.read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise cg.InputError(f"{path} is damaged: {error}{cg.here()}") from error
    _check_size(path, len(content), dtype, shape)
    return np.frombuffer(content, dtype).reshape(shape)


def _idx_header(file: IO[bytes] | gzip.GzipFile, path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES or not magic[3]:
        raise cg.InputError(f"{path} is no IDX file: it begins with {magic.hex(' ') or 'nothing'}{cg.here()}")
    if magic[3] > _MOST_AXES:
        raise cg.InputError(f"{path} is no IDX file: its header says {magic[3]} axes{cg.here()}")
    lengths = file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise cg.InputError(f"{path} is cut short within its header{cg.here()}")
    return np.dtype(_IDX_TYPES[magic[2]]), struct.unpack(f">{magic[3]}I", lengths), 4 + len(lengths)


def npy(path: str | os.PathLike[str]) -> Array:
    """The array in an NPY file, mapped and read-only; `InputError` for one of objects, which would run code, or a damaged one."""
    path = Path(path)
    with open(path, "rb") as file:
        dtype, shape, order, start = _npy_header(file, path)
    _check_size(path, path.stat().st_size - start, dtype, shape)
    return _mapped(path, dtype, start, shape, order)


def npz(path: str | os.PathLike[str], X: str = "X", y: str = "y") -> Dataset:
    """Two arrays of an NPZ file, by name: mapped where `np.savez` wrote it, in memory where `np.savez_compressed` did.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "numbers.npz"
    >>> np.savez(path, X=np.ones((3, 2)), y=np.arange(3))
    >>> data = npz(path)
    >>> data, type(data.X).__name__
    (Dataset of 3 examples: X float64 (3, 2), y int64 (3,), 'memmap')
    """
    path = Path(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return Dataset(_member(archive, X, file, path), _member(archive, y, file, path))
        except cg.CompgraphError:
            raise
        except _DAMAGE as error:
            raise cg.InputError(f"{path} is no NPZ file, or damaged: {error}{cg.here()}") from error


def _member(archive: zipfile.ZipFile, name: str, file: IO[bytes], path: Path) -> Array:
    names = [held.removesuffix(".npy") for held in archive.namelist() if held.endswith(".npy")]
    if name not in names:
        raise cg.InputError(f"{path} has no array {name!r}; it has {', '.join(names) or 'none'}{cg.here()}")
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as member:
        dtype, shape, order, start = _npy_header(member, path)
        if entry.compress_type != zipfile.ZIP_STORED:
            content = member.read()  # which zipfile checks against its checksum
            _check_size(path, len(content), dtype, shape)
            return np.ndarray(shape, dtype, bytearray(content), order=order)
    _check_size(path, entry.file_size - start, dtype, shape)
    file.seek(entry.header_offset)
    *_, name_length, extra_length = struct.unpack("<4s5H3I2H", file.read(30))  # the entry's own header: PKWARE's APPNOTE, 4.3.7
    return _mapped(path, dtype, entry.header_offset + 30 + name_length + extra_length + start, shape, order)


def _npy_header(file: IO[bytes], path: Path) -> tuple[np.dtype[Any], tuple[int, ...], Any, int]:
    try:
        read = _NPY_HEADERS[np.lib.format.read_magic(file)]
        shape, fortran, dtype = read(file)
    except (ValueError, KeyError, TokenError) as error:
        raise cg.InputError(f"{path} is no NPY file that can be read: {error}{cg.here()}") from error
    if dtype.hasobject:
        raise cg.InputError(f"{path} holds Python objects, which are not loaded: reading them can run any code{cg.here()}")
    return dtype, shape, "F" if fortran else "C", file.tell()


def _mapped(path: Path, dtype: np.dtype[Any], start: int, shape: tuple[int, ...], order: Any = "C") -> Array:
    if not math.prod(shape):
        return np.empty(shape, dtype)  # nothing cannot be mapped
    return np.memmap(path, dtype, "r", start, shape, order)


def _check_size(path: Path, held: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    needed = math.prod(shape) * dtype.itemsize
    if held != needed:
        what = "is cut short" if held < needed else "is longer than its header says"
        raise cg.InputError(f"{path} {what}: {shape} of {dtype} take {needed} bytes, and there are {held}{cg.here()}")
