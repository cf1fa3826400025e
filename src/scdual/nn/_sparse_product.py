"""Multiply few entries of a large matrix with a dense one.

Dimension key
    L  rows      G  columns of the sparse matrix, rows of the dense one      O  outputs      M  entries
"""

from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array
from torch.autograd.function import once_differentiable

_FEW = 0.05  # share of entries from which a processor is faster with all of them (128 cells, 2,000 genes, 256 outputs)


class Places:
    """Where the entries of a sparse matrix ``(L, G)`` are, none twice; they are sorted once for all products.

    Parameters
    ----------
    row, column
        Positions of the entries, each ``(M,)``.
    n_rows, n_columns
        Numbers ``L`` and ``G``.
    """

    def __init__(self, row: torch.Tensor, column: torch.Tensor, *, n_rows: int, n_columns: int) -> None:
        self.row, self.column, self.shape = row, column, (n_rows, n_columns)

    @property
    def are_few(self) -> bool:
        """Whether a processor adds up single rows faster than it multiplies; a graphics card multiplies with the zeros."""
        return self.row.device.type == "cpu" and len(self.row) < _FEW * self.shape[0] * self.shape[1]

    @cached_property
    def by_row(self) -> "_Groups":
        """The entries of each row."""
        return _grouped(self.row, self.column, shape=self.shape)

    @cached_property
    def by_column(self) -> "_Groups":
        """The entries of each column."""
        return _grouped(self.column, self.row, shape=self.shape[::-1])


def sparse_product(places: Places, value: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    """Return the product of a sparse matrix, its entries ``(M,)``, with a dense one ``(G, O)``, shape ``(L, O)``.

    Sums are along the rows, whatever the number of threads.
    """
    if places.are_few:
        return _SparseProduct.apply(places, value, dense)
    return value.new_zeros(places.shape).index_put((places.row, places.column), value) @ dense


class _Groups(NamedTuple):
    """Entries in the order of one axis."""

    order: torch.Tensor  # (M,)
    other: torch.Tensor  # (M,), positions along the other axis, in this order
    start: torch.Tensor  # of each group

    def sums(self, value: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        """Return for each group the sum of its values times rows of the dense matrix."""
        return F.embedding_bag(self.other, dense, self.start, mode="sum", per_sample_weights=value[self.order])


def _grouped(group: torch.Tensor, other: torch.Tensor, *, shape: tuple[int, int]) -> _Groups:
    """Return entries by their group; SciPy counts, where torch would sort, which takes four times as long."""
    order = np.arange(len(group))
    by_group = csr_array((order, (group.numpy(), other.numpy())), shape=shape)
    return _Groups(
        *(torch.from_numpy(each.astype(np.int64)) for each in (by_group.data, by_group.indices, by_group.indptr[:-1]))
    )


class _SparseProduct(torch.autograd.Function):
    """Product whose gradient is the product with the transposed matrix."""

    @staticmethod
    def forward(ctx: Any, places: Places, value: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        """Return the product ``(L, O)``."""
        ctx.places = places
        ctx.save_for_backward(value, dense)
        return places.by_row.sums(value, dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of ``value`` and ``dense``."""
        places, (value, dense) = ctx.places, ctx.saved_tensors
        _, wants_value, wants_dense = ctx.needs_input_grad
        of_value = (grad[places.row] * dense[places.column]).sum(-1) if wants_value else None
        of_dense = places.by_column.sums(value, grad.contiguous()) if wants_dense else None
        return None, of_value, of_dense
