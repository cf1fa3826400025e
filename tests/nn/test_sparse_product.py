"""A product with few entries equals the product with the whole matrix, and so do its gradients."""

import pytest
import torch

from scdual.nn import Places, sparse_product

L, G, O = 40, 60, 7


def build(n_entries: int) -> tuple[Places, torch.Tensor, torch.Tensor]:
    position = torch.randperm(L * G)[:n_entries]
    places = Places(position // G, position % G, n_rows=L, n_columns=G)
    value = torch.randn(n_entries, dtype=torch.float64, requires_grad=True)
    return places, value, torch.randn(G, O, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(("n_entries", "are_few"), [(0, True), (1, True), (100, True), (600, False), (L * G, False)])
def test_it_equals_the_product_of_dense_matrices(n_entries: int, are_few: bool) -> None:
    places, value, dense = build(n_entries)
    assert places.are_few == are_few
    matrix = torch.zeros(L, G, dtype=torch.float64)
    for row, column, entry in zip(places.row, places.column, value.detach(), strict=True):
        matrix[row, column] = entry
    torch.testing.assert_close(sparse_product(places, value, dense), matrix @ dense)


@pytest.mark.parametrize("n_entries", [0, 100, 600])
def test_gradients_are_those_of_finite_differences(n_entries: int) -> None:
    places, value, dense = build(n_entries)
    assert torch.autograd.gradcheck(lambda *given: sparse_product(places, *given), (value, dense))


def test_it_repeats_itself_with_any_number_of_threads() -> None:
    places, value, dense = build(100)
    found, n_threads = [], torch.get_num_threads()
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            product = sparse_product(places, value, dense)
            found.append((product, *torch.autograd.grad(product.square().sum(), (value, dense))))
    finally:
        torch.set_num_threads(n_threads)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
