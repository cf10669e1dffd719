"""Constants and parameters as JSON, written so that they come back as they were and read as if written by an enemy.

| JSON | Python |
|---|---|
| `true`, `2`, `2.0`, `{"float": "nan"}` | a bool, int or float: a weak number, which leaves float32 float32 |
| `{"scalar": 2.0, "dtype": "float32"}` | a NumPy number |
| `{"scalar": [2.0, -1.0], "dtype": "complex128"}` | a complex number: in arrays, too, it is a pair |
| `{"array": [1.0, 2.0], "shape": [2], "dtype": "float64"}` | an array, its entries in C order |
| `{"base64": "AAAA...", "shape": [500], "dtype": "float64"}` | an array as little-endian bytes, where it is long |
| `null`, `"float32"`, `[0, 1]` | None, a text, a tuple: in `params` only |
| `{"slice": [null, 3, 2]}`, `{"ellipsis": true}`, `{"type": "float32"}` | a slice, `...`, a dtype: in `params` only |

Nothing in a text is executed, and no array is made before its size is known to be that of the text.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from compgraph.errors import DtypeError, GraphError, InputError
from compgraph.operands import short
from compgraph.origins import here

_DTYPES = {
    name: np.dtype(name)
    for name in (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "complex64",
        "complex128",
    )
}
_PARTS = {"complex64": "float32", "complex128": "float64"}  # which a complex number has two of
_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_LONGEST_LIST = 64  # entries that a person still reads; longer arrays are written as bytes
_DEEPEST = 16  # indices nest tuples two deep
_MOST_AXES = 64  # NumPy's limit
_LARGEST = 2**40  # entries of an abstract value, which costs nothing


# ----------------------------------------------------------------------------------------- writing


def dtype_name(dtype: np.dtype[Any], place: str) -> str:
    if dtype.name not in _DTYPES:
        raise DtypeError(f"{place} is of dtype {dtype.name}, which has no form that every machine reads; cast it to float64{here()}")
    return dtype.name


def encoded(value: Any, place: str) -> Any:
    """A constant or a parameter as JSON; the table is in the docstring of the module."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, np.generic):
        return {"scalar": _number(value.item()), "dtype": dtype_name(value.dtype, place)}
    if isinstance(value, np.ndarray):
        return _encoded_array(value, place)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": _number(value)}
    if isinstance(value, tuple):
        return [encoded(part, place) for part in value]
    if isinstance(value, slice):
        return {"slice": [encoded(part, place) for part in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, np.dtype):
        return {"type": dtype_name(value, place)}
    raise GraphError(f"{place} holds a {type(value).__name__}, which JSON cannot say{here()}")


def _encoded_array(array: np.ndarray[Any, Any], place: str) -> dict[str, Any]:
    dtype = dtype_name(array.dtype, place)
    kind = {"shape": list(array.shape), "dtype": dtype}
    little_endian = _DTYPES[dtype].newbyteorder("<")
    portable = array.astype(little_endian).tobytes()
    if array.size <= _LONGEST_LIST:
        numbers = [_number(entry) for entry in array.ravel().tolist()]
        if _array_of(numbers, dtype).astype(little_endian).tobytes() == portable:  # NaNs can differ in their bits
            return {"array": numbers, **kind}
    return {"base64": base64.b64encode(portable).decode("ascii"), **kind}


def _number(number: Any) -> Any:
    if isinstance(number, complex):
        return [_number(number.real), _number(number.imag)]
    if isinstance(number, float) and not math.isfinite(number):
        return "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
    return number


def _array_of(numbers: list[Any], dtype: str) -> np.ndarray[Any, Any]:
    if _DTYPES[dtype].kind == "c":
        parts = [part for pair in numbers for part in pair]
        return _array_of(parts, _PARTS[dtype]).view(dtype)
    with np.errstate(over="ignore"):
        return np.array([_NONFINITE[number] if isinstance(number, str) else number for number in numbers], _DTYPES[dtype])


# ----------------------------------------------------------------------------------------- reading


def parsed(text: str) -> Any:
    """The JSON value that `text` says; `InputError` for text that is not JSON, or that JSON readers disagree about."""
    if not isinstance(text, str):
        raise InputError(f"from_json takes text, not {type(text).__name__}{here()}")
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_int=_bounded_int, parse_float=_bounded_float, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}{here()}") from None
    except RecursionError:
        raise InputError(f"not a graph: the JSON is nested too deep{here()}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise InputError(f"the JSON has the key {shown(twice)} twice in one object")
    return result


def _bounded_int(digits: str) -> int:
    if len(digits) > 310 or abs(int(digits)) > int(np.finfo(np.float64).max):
        raise InputError(f"the JSON has an integer of {len(digits.lstrip('-'))} digits, which does not fit into float64")
    return int(digits)


def _bounded_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InputError(f"the JSON has the number {digits[:40]}, which does not fit into float64")
    return number


def _no_constant(word: str) -> NoReturn:
    raise InputError(f'the JSON has {word}, which is not JSON; write {{"float": "nan"}}, "inf" or "-inf" in place of "nan"')


def shown(value: Any) -> str:
    """Something out of the text, for an error message, never long."""
    text = repr(value) if isinstance(value, str) else short(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Reader:
    """A part of the document together with its place in it, which every complaint about it says."""

    def __init__(self, value: Any, place: str, depth: int = 0) -> None:
        self.value = value
        self.place = place
        self.depth = depth

    def refuse(self, why: str) -> NoReturn:
        raise InputError(f"{self.place}: {why}{here()}")

    def expect(self, kind: type, called: str) -> Any:
        if type(self.value) is not kind:
            self.refuse(f"{shown(self.value)} is not {called}")
        return self.value

    def __getitem__(self, key: str) -> Reader:
        return Reader(self.value[key], key if self.place == "the document" else f"{self.place}.{key}", self.depth + 1)

    def object(self) -> dict[str, Any]:
        return self.expect(dict, "an object")

    def fields(self, wanted: set[str]) -> None:
        given = self.object().keys()
        if given != wanted:
            missing, surplus = sorted(wanted - given), sorted(given - wanted)
            self.refuse(f"missing are {', '.join(missing)}" if missing else f"there is no field {shown(surplus[0])}")

    def items(self, count: int | None = None) -> list[Reader]:
        parts = self.expect(list, "a list")
        if count is not None and len(parts) != count:
            self.refuse(f"it has {len(parts)} entries, not {count}")
        if self.depth > _DEEPEST:
            self.refuse("it is nested too deep")
        return [Reader(part, f"{self.place}[{number}]", self.depth + 1) for number, part in enumerate(parts)]

    def text(self) -> str:
        return self.expect(str, "a text")

    def shape(self) -> tuple[int, ...]:
        shape = tuple(part.expect(int, "a length") for part in self.items())
        if len(shape) > _MOST_AXES or any(length < 0 for length in shape) or math.prod(max(length, 1) for length in shape) > _LARGEST:
            self.refuse(f"{shown(shape)} is not a shape: lengths are not negative, at most {_MOST_AXES}, and {_LARGEST} entries at most")
        return shape

    def dtype(self) -> np.dtype[Any]:
        if self.text() not in _DTYPES:
            self.refuse(f"{shown(self.value)} is not a dtype; known are {', '.join(_DTYPES)}")
        return _DTYPES[self.value]

    def constant(self) -> Any:
        """A number or an array."""
        if isinstance(self.value, (bool, int, float)):
            return self.value
        return self.tagged(_CONSTANTS, "a number or an array")

    def parameter(self) -> Any:
        """A constant, or what else may stand among params."""
        if self.value is None or isinstance(self.value, (str, bool, int, float)):
            return self.value
        if isinstance(self.value, list):
            return tuple(part.parameter() for part in self.items())
        return self.tagged(_PARAMETERS, "a parameter")

    def tagged(self, readers: dict[str, tuple[set[str], Callable[[Reader], Any]]], called: str) -> Any:
        """What an object says whose first field, the one in `readers`, tells its kind."""
        for tag, (others, read) in readers.items():
            if tag in self.object():
                self.fields({tag, *others})
                return read(self)
        return self.refuse(f"{shown(self.value)} is not {called}")

    def numbers(self, numbers: list[Reader], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """The entries of a one-dimensional array, each of which has to be exactly of its dtype."""
        if dtype.kind == "c":
            parts = [part for number in numbers for part in number.items(2)]
            return self.numbers(parts, _DTYPES[_PARTS[dtype.name]]).view(dtype)
        kind: Any = {"b": bool, "i": int, "u": int, "f": float}[dtype.kind]
        for number in numbers:
            if type(number.value) is not kind and not (kind is float and isinstance(number.value, str) and number.value in _NONFINITE):
                number.refuse(f"{shown(number.value)} is not a {dtype.name}" + ", which is written with a point" * (kind is float))
            if kind is int and not np.iinfo(dtype).min <= number.value <= np.iinfo(dtype).max:
                number.refuse(f"{shown(number.value)} does not fit into {dtype.name}")
        array = _array_of([number.value for number in numbers], dtype.name)
        for number, entry in zip(numbers, array.tolist(), strict=True):
            if not isinstance(number.value, str) and entry != number.value:
                number.refuse(f"{shown(number.value)} is not a {dtype.name}: the nearest is {entry!r}")
        return array


def _read_float(reader: Reader) -> float:
    if reader["float"].text() not in _NONFINITE:
        reader["float"].refuse(f"{shown(reader.value['float'])} is not one of {', '.join(_NONFINITE)}")
    return _NONFINITE[reader.value["float"]]


def _read_array(reader: Reader) -> np.ndarray[Any, Any]:
    shape, dtype = reader["shape"].shape(), reader["dtype"].dtype()
    numbers = reader["array"].items()
    if len(numbers) != math.prod(shape):
        reader["array"].refuse(f"it has {len(numbers)} entries, its shape {shape} has {math.prod(shape)}")
    return reader.numbers(numbers, dtype).reshape(shape)


def _read_bytes(reader: Reader) -> np.ndarray[Any, Any]:
    shape, dtype = reader["shape"].shape(), reader["dtype"].dtype()
    try:
        content = base64.b64decode(reader["base64"].text(), validate=True)
    except (binascii.Error, ValueError) as error:
        reader["base64"].refuse(f"not base64: {error}")
    if len(content) != math.prod(shape) * dtype.itemsize:
        reader["base64"].refuse(f"it has {len(content)} bytes, its shape {shape} of {dtype} has {math.prod(shape) * dtype.itemsize}")
    if dtype.kind == "b" and content.strip(b"\0\1"):
        reader["base64"].refuse("a bool is the byte 0 or 1")
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def _read_slice(reader: Reader) -> slice:
    return slice(*[part.parameter() for part in reader["slice"].items(3)])


def _read_ellipsis(reader: Reader) -> Any:
    return Ellipsis if reader["ellipsis"].value is True else reader["ellipsis"].refuse("an ellipsis is written true")


# The field that tells the kind of an object -> its other fields, and what reads it.
_CONSTANTS: dict[str, tuple[set[str], Callable[[Reader], Any]]] = {
    "float": (set(), _read_float),
    "scalar": ({"dtype"}, lambda reader: reader.numbers([reader["scalar"]], reader["dtype"].dtype())[0]),
    "array": ({"shape", "dtype"}, _read_array),
    "base64": ({"shape", "dtype"}, _read_bytes),
}
_PARAMETERS: dict[str, tuple[set[str], Callable[[Reader], Any]]] = {
    **_CONSTANTS,
    "slice": (set(), _read_slice),
    "ellipsis": (set(), _read_ellipsis),
    "type": (set(), lambda reader: reader["type"].dtype()),
}
