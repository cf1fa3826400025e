"""Weights have one row per regulator and one column per target, and no gene regulates itself."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scdual.grn
from scdual.grn._pair_values import as_weights, check_shape, frozen, sealed

REGULATORS, TARGETS = pd.Index(["A", "B"]), pd.Index(["B", "x", "y"])


def test_weights_are_a_read_only_copy_in_float32() -> None:
    weight = np.arange(6.0).reshape(2, 3)
    weight[1, 0] = 0
    found = as_weights(weight, REGULATORS, TARGETS)
    weight[0, 1] = 7
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 2], [0, 4, 5]]
    assert not found.flags.writeable


def test_what_nobody_can_write_to_is_not_copied() -> None:
    weight = sealed(np.array([[0, 1, 2], [0, 4, 5]], dtype=np.float32))
    assert as_weights(weight, REGULATORS, TARGETS) is weight
    part = weight[:, 1:]
    assert frozen(part) is part


def test_what_somebody_may_write_to_is_copied() -> None:
    owner = np.ones((2, 3), dtype=np.float32)
    view = owner.view()
    view.setflags(write=False)  # the owner still can
    raw = bytearray(24)
    borrowed = np.frombuffer(raw, dtype=np.float32)
    borrowed.setflags(write=False)
    masked = np.ma.masked_array(np.ones(3))
    for values in (owner, view, borrowed, masked, [1.0, 2.0]):
        found = frozen(values)
        assert type(found) is np.ndarray
        assert not np.shares_memory(found, np.asarray(values))
        assert not found.flags.writeable
    assert frozen(sealed(np.ones(3)), dtype=np.float32).dtype == np.float32


def test_a_gene_that_regulates_itself_is_named() -> None:
    with pytest.raises(ValueError, match=r"1 genes regulate themselves: \['B'\]"):
        as_weights(np.ones((2, 3)), REGULATORS, TARGETS)


def test_another_shape_gets_both_shapes_and_the_advice() -> None:
    with pytest.raises(ValueError, match=r"`sd` has shape \(3, 2\), expected \(2, 3\): one row per .* Turn it\."):
        check_shape("sd", np.ones((3, 2)), (2, 3), advice="Turn it.")


def test_only_the_conversion_turns_matrices_round() -> None:
    turning = {
        path.stem
        for path in Path(scdual.grn.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("T", "mT", "transpose", "swapaxes")
    }
    assert turning == {"_convert"}
