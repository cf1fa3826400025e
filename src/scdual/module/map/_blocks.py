"""Large matrices some rows at a time, so that what is computed on the way stays small."""

from collections.abc import Iterator

BLOCK_VALUES = 2**20  # values at a time, 8 MB of doubles: what a cache of the third level holds, with some in between


def row_blocks(n_rows: int, n_columns: int, *, n_values: int = BLOCK_VALUES) -> Iterator[slice]:
    """Yield slices of rows, each of about so many values and at least one row.

    Parameters
    ----------
    n_rows, n_columns
        Shape of the matrix.
    n_values
        Values of a block.
    """
    step = max(1, n_values // max(n_columns, 1))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))
