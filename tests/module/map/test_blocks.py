"""Blocks hold every row once, in order."""

import pytest

from scdual.module.map._blocks import row_blocks


@pytest.mark.parametrize(
    ("shape", "n_values", "sizes"),
    [
        pytest.param((10, 3), 9, [3, 3, 3, 1], id="several rows"),
        pytest.param((3, 100), 9, [1, 1, 1], id="a row is larger than a block"),
        pytest.param((4, 0), 9, [4], id="no columns"),
        pytest.param((0, 5), 9, [], id="no rows"),
    ],
)
def test_every_row_is_in_one_block(shape: tuple[int, int], n_values: int, sizes: list[int]) -> None:
    blocks = list(row_blocks(*shape, n_values=n_values))
    assert [block.stop - block.start for block in blocks] == sizes
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(shape[0]))
