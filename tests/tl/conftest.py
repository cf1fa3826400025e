"""A small network with ties, zeros and both signs."""

import numpy as np
import pytest

from scdual.grn import RegulatoryNetwork


@pytest.fixture
def network() -> RegulatoryNetwork:
    """Return four regulators, two of them targets as well; B has no edge, and A and D are equally strong."""
    weight = np.array(
        [
            [0.0, 0.50, -0.25, 0.25, 0.25, 0.0],
            [0.0, 0.00, 0.00, 0.00, 0.00, 0.0],
            [0.5, 1.00, -1.00, 0.50, -0.75, 0.0],
            [0.0, 0.00, -0.50, 0.00, -0.75, 0.0],
        ]
    )
    return RegulatoryNetwork(weight, list("ABCD"), ["A", "v", "w", "x", "y", "D"], group="NK")
