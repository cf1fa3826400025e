"""Values go through JSON unchanged; what is not plain is refused."""

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdual._plain import from_text, to_text

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["$tuple", "$", "a"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def same(first: Any, second: Any) -> bool:
    """Return whether two values are of the same types and equal, NaN and the sign of zero included."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        pairs = zip(first.items(), second.items(), strict=True) if len(first) == len(second) else [(0, 1)]
        return all(same(one, two) for one, two in pairs)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return repr(first) == repr(second)


@given(VALUES)
def test_nested_values_come_back_exactly(value: Any) -> None:
    assert same(from_text(to_text(value)), value)


@given(VALUES)
def test_the_text_is_json_of_any_reader(value: Any) -> None:
    json.loads(to_text(value), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "array",
    [
        np.array([], dtype=np.float32),
        np.array(7),
        np.array([np.nan, -np.inf, -0.0, 5e-324]),
        np.array([[1, 2], [3, 4]], dtype=">i4"),
        np.arange(12, dtype=np.int8).reshape(3, 4)[::2, ::-1],
        np.array([True, False]),
        np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"),
        np.array([1 + 2j]),
    ],
)
def test_arrays_of_numbers_come_back_exactly(array: np.ndarray) -> None:
    found = from_text(to_text(array))
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape
    assert found.flags.writeable
    assert found.tobytes() == array.astype(found.dtype).tobytes()  # the sign of zero and NaN included


@pytest.mark.parametrize("items", [["a", "b"], [1, "1", None, np.int64(1), 1.5, (2, 3)], []])
def test_arrays_of_objects_come_back_exactly(items: list[Any]) -> None:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    found = from_text(to_text(array))
    assert found.dtype == object
    assert same(found.tolist(), array.tolist())


@pytest.mark.parametrize("value", [np.float32(1.1), np.float64("nan"), np.int64(3), np.bool_(True)])
def test_scalars_of_numpy_keep_their_type(value: Any) -> None:
    assert same(from_text(to_text(value)), value)


@pytest.mark.parametrize("dtype", [object, float])
def test_tables_come_back_exactly(dtype: type) -> None:
    table = pd.DataFrame({"loss": [1.5, np.nan, 0.1]}, index=pd.Index([0, 1, 2], name="epoch"), dtype=dtype)
    pd.testing.assert_frame_equal(from_text(to_text(table)), table)


def test_a_mapping_is_read_as_a_dict() -> None:
    assert same(from_text(to_text(defaultdict(dict, {"a": {1}}))), {"a": {1}})


@pytest.mark.parametrize("value", [print, object(), b"bytes", 1j, pd.Timestamp(0)])
def test_what_is_not_plain_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"`value\.a\[1\]` is of type {type(value).__name__}"):
        to_text({"a": [0, value]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        '{"a": 1, "a": 2}',
        '{"$unknown": 1}',
        '{"$array": ["O", [1], "AAAAAAAAAAA="]}',
        '{"$array": ["<f4", [2], "AAAA"]}',
        '{"$array": ["<f4", [1], "?"]}',
        '{"$array": 3}',
        '{"$objects": [[2], ["a"]]}',
        '{"$frame": []}',
        '{"$dict": [[[], 1]]}',
        "[" * 100_000,
    ],
)
def test_any_other_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_text(text)
