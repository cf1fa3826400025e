"""Weights have one row per regulator and one column per target, and no gene regulates itself."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scdual.grn
from scdual.grn._pair_values import as_weights, check_shape

REGULATORS, TARGETS = pd.Index(["A", "B"]), pd.Index(["B", "x", "y"])


def test_weights_are_a_read_only_copy_in_float32() -> None:
    weight = np.arange(6.0).reshape(2, 3)
    weight[1, 0] = 0
    found = as_weights(weight, REGULATORS, TARGETS)
    weight[0, 1] = 7
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 2], [0, 4, 5]]
    assert not found.flags.writeable


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
