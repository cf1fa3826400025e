"""Multiply few entries of a large matrix with a dense one.

Dimension key
    L  rows      G  columns of the sparse matrix, rows of the dense one      O  outputs      M  entries
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_FEW = 0.05  # share of entries from which a processor is faster with all of them (128 cells, 2,000 genes, 256 outputs)


def sparse_product(
    row: torch.Tensor, column: torch.Tensor, value: torch.Tensor, dense: torch.Tensor, *, n_rows: int
) -> torch.Tensor:
    """Return the product of a sparse matrix ``(L, G)`` with a dense one, shape ``(L, O)``.

    A processor adds up rows of the dense matrix while entries are few; a graphics card multiplies with the zeros. Sums are
    in the order of the entries, whatever the number of threads.

    Parameters
    ----------
    row, column, value
        Entries of the sparse matrix, each ``(M,)``, no place twice.
    dense
        Dense matrix, shape ``(G, O)``.
    n_rows
        Number ``L`` of rows.
    """
    if row.device.type == "cpu" and len(row) < _FEW * n_rows * len(dense):
        return _SparseProduct.apply(row, column, value, dense, n_rows)
    return value.new_zeros(n_rows, len(dense)).index_put((row, column), value) @ dense


class _SparseProduct(torch.autograd.Function):
    """Product whose gradient is the product with the transposed matrix."""

    @staticmethod
    def forward(
        ctx: Any, row: torch.Tensor, column: torch.Tensor, value: torch.Tensor, dense: torch.Tensor, n_rows: int
    ) -> torch.Tensor:
        """Return the product ``(L, O)``."""
        ctx.save_for_backward(row, column, value, dense)
        return _summed(row, column, value, dense, n_rows=n_rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of ``value`` and ``dense``."""
        row, column, value, dense = ctx.saved_tensors
        _, _, wants_value, wants_dense, _ = ctx.needs_input_grad
        of_value = (grad[row] * dense[column]).sum(-1) if wants_value else None
        of_dense = _summed(column, row, value, grad.contiguous(), n_rows=len(dense)) if wants_dense else None
        return None, None, of_value, of_dense, None


def _summed(
    row: torch.Tensor, column: torch.Tensor, value: torch.Tensor, dense: torch.Tensor, *, n_rows: int
) -> torch.Tensor:
    """Return for each row the sum of ``value * dense[column]`` over its entries, shape ``(L, O)``."""
    row, order = row.sort(stable=True)
    start = torch.searchsorted(row, torch.arange(n_rows))
    return F.embedding_bag(column[order], dense, start, mode="sum", per_sample_weights=value[order])
