"""Write plain values as JSON, and read exactly the same back.

JSON knows numbers, text, lists, and objects with text as keys. All else is an object whose one key starts with ``$``:

    $float     nan, inf or -inf              $dict      pairs of key and value, where a key is no text
    $tuple     items                         $scalar    dtype and bytes of a NumPy scalar
    $set       items                         $array     dtype, shape and bytes of an array
    $index     values and name               $objects   shape and items of an array of text or objects
    $frame     index, columns, and the values of each column

Bytes are base64 of little-endian values. Nothing that is read is ever run.
"""

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

_NUMBERS = "biufcmM"  # kinds of dtypes that are bytes and nothing else


def to_text(value: Any) -> str:
    """Return a value as JSON.

    Raises
    ------
    TypeError
        If the value holds something that is not plain, such as a function.
    """
    return json.dumps(encode(value), allow_nan=False, separators=(",", ":"))


def from_text(text: str) -> Any:
    """Return the value that :func:`to_text` wrote.

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    try:
        return decode(parse(text))
    except (TypeError, IndexError, KeyError, OverflowError) as error:
        msg = f"The text holds no values written by scdual ({error}); take it from where it was written."
        raise ValueError(msg) from error


def parse(text: str) -> Any:
    """Return JSON as Python reads it, but refuse what is no JSON and what names a key twice."""
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError as error:
        msg = "The text is nested too deeply to be JSON of scdual."
        raise ValueError(msg) from error


def encode(value: Any, where: str = "value") -> Any:
    """Return a value in terms of JSON; ``where`` names it in errors."""
    if isinstance(value, np.generic) and value.dtype.kind in _NUMBERS:
        return {"$scalar": [*_bytes(np.asarray(value))]}
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    return _encode_many(value, where)


def decode(value: Any) -> Any:
    """Return what :func:`encode` was given."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if tag.startswith("$"):
            return _read(tag, content)
    return {key: decode(item) for key, item in value.items()}


def _encode_many(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str(key): encode(item, f"{where}.{key}") for key, item in value.items()}
        pairs = [[encode(key, where), encode(item, f"{where}.{key}")] for key, item in value.items()]
        return {"$dict": pairs}
    if isinstance(value, list | tuple | set | frozenset):
        items = [encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple" if isinstance(value, tuple) else "$set": items}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in _NUMBERS:
            return {"$array": [*_bytes(value)]}
        if value.dtype.kind in "OUT":
            return {"$objects": [list(value.shape), encode(value.ravel().tolist(), where)]}
    if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex):
        return {"$index": [encode(value.to_numpy(), where), encode(value.name, where)]}
    if isinstance(value, pd.DataFrame):
        columns = [encode(value.iloc[:, i].to_numpy(), f"{where}[{i}]") for i in range(value.shape[1])]
        return {"$frame": [encode(value.index, where), encode(value.columns, where), columns]}
    msg = f"`{where}` is of type {type(value).__name__}, which a file cannot hold; use numbers, text, lists, dicts or arrays."
    raise TypeError(msg)


def _read(tag: str, content: Any) -> Any:
    """Return the value of an object with one key that starts with ``$``."""
    if tag == "$float":
        return float(content)
    if tag == "$dict":
        return {decode(key): decode(item) for key, item in content}
    if tag in ("$tuple", "$set"):
        return (tuple if tag == "$tuple" else set)(decode(content))
    if tag == "$scalar":
        return _array(*content)[()]
    if tag == "$array":
        return _array(*content)
    if tag == "$objects":
        shape, items = content
        values = np.empty(len(items), dtype=object)
        values[:] = decode(items)
        return values.reshape(shape)
    if tag == "$index":
        values, name = decode(content)
        return pd.Index(values, name=name)
    if tag == "$frame":
        index, columns, values = decode(content)
        frame = pd.DataFrame(dict(enumerate(values)), index=index)
        frame.columns = columns
        return frame
    msg = f"The text holds {tag!r}, which this version of scdual does not know; update scdual."
    raise ValueError(msg)


def _bytes(array: np.ndarray) -> tuple[str, list[int], str]:
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    return little.dtype.str, list(array.shape), base64.b64encode(little.tobytes()).decode("ascii")


def _array(dtype: str, shape: list[int], text: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind not in _NUMBERS:
        msg = f"The text holds an array of type {dtype!r}, expected numbers; take it from where it was written."
        raise ValueError(msg)
    values = np.frombuffer(base64.b64decode(text, validate=True), dtype=kind).reshape(shape)
    return values.astype(kind.newbyteorder("="))


def _no_constant(name: str) -> None:
    msg = f"The text holds {name}, which is no JSON."
    raise ValueError(msg)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "The text holds a key twice."
        raise ValueError(msg)
    return found
