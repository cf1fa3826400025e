"""Moments are those of what least squares on the covariates leaves, in float64.

Dimension key
    N  cells      G  genes      R  regulators      U  covariates
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from scdual.module.map._moments import Moments, collect_moments
from scdual.module.map._values import MapCells, MapValues
from scdual.nn import ExpressionEmbedding

N, G = 300, 14
REGULATOR = torch.tensor([9, 2, 5, 0, 13])
R = len(REGULATOR)


@pytest.fixture
def genes() -> torch.Tensor:
    """Correlated values of all genes, float64, shape ``(N, G)``."""
    return torch.randn(N, 4).double() @ torch.randn(4, G).double() + torch.randn(N, G).double()


@pytest.fixture
def covariates() -> torch.Tensor:
    """Three batches after one-hot coding and a continuous covariate."""
    return torch.cat([torch.eye(3)[torch.randint(3, (N,))], torch.randn(N, 1)], dim=1).double()


def moments_of(covariates: torch.Tensor, genes: torch.Tensor, *, n_per_batch: int = N) -> Moments:
    moments = Moments(R, G, covariates.shape[1], device=torch.device("cpu"))
    for u, g in zip(covariates.split(n_per_batch), genes.split(n_per_batch), strict=True):
        moments.add(u, g[:, REGULATOR], g)
    return moments


@pytest.mark.parametrize("n_per_batch", [7, N])
def test_moments_are_those_of_the_residuals_of_least_squares(
    covariates: torch.Tensor, genes: torch.Tensor, n_per_batch: int
) -> None:
    genes = genes + covariates @ torch.randn(4, G).double() * 3
    fit = LinearRegression(fit_intercept=False).fit(covariates, genes)
    residual = genes.numpy() - fit.predict(covariates)
    moments = moments_of(covariates, genes, n_per_batch=n_per_batch)
    gram, cross = moments.partial()
    assert moments.n_cells == N
    np.testing.assert_allclose(gram, residual[:, REGULATOR].T @ residual[:, REGULATOR] / N, atol=1e-10)
    np.testing.assert_allclose(cross, residual[:, REGULATOR].T @ residual / N, atol=1e-10)
    np.testing.assert_allclose(moments.variance(), (residual**2).mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(moments.gene_std(), np.sqrt((genes.numpy() ** 2).mean(axis=0)))


def test_moments_of_some_cells_and_of_others_are_those_of_all(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    joined = moments_of(covariates[:70], genes[:70]).joined(moments_of(covariates[70:], genes[70:]))
    whole = moments_of(covariates, genes)
    assert joined.n_cells == N
    for found, expected in zip(
        (*joined.partial(), joined.variance()), (*whole.partial(), whole.variance()), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("gene", [2, 3], ids=["regulator", "target"])
def test_what_covariates_explain_but_for_rounding_does_not_vary(
    covariates: torch.Tensor, genes: torch.Tensor, gene: int
) -> None:
    genes[:, gene] = covariates @ torch.tensor([1.0, 2.0, 3.0, 4.0]).double()
    genes[:, gene] += 1e-6 * torch.randn(N).double()  # a share of about 1e-13 of the variance
    regulators, targets = moments_of(covariates, genes).varies()
    assert targets.tolist() == [j != gene for j in range(G)]
    assert regulators.tolist() == [j != gene for j in REGULATOR.tolist()]


def test_part_of_the_products_is_that_of_all(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    moments = moments_of(covariates, genes)
    gram, cross = moments.partial()
    torch.testing.assert_close(moments.partial_gram(), gram)
    torch.testing.assert_close(moments.partial_cross(slice(1, 4)), cross[1:4])
    assert torch.equal(moments.partial_cross(), cross)  # reading them twice changes nothing


def test_moments_given_one_batch_are_covariances(genes: torch.Tensor) -> None:
    gram, cross = moments_of(torch.ones(N, 1).double(), genes + 5).partial()
    expected = np.cov(genes.numpy(), rowvar=False, bias=True)[REGULATOR]
    np.testing.assert_allclose(cross, expected, atol=1e-10)
    np.testing.assert_allclose(gram, expected[:, REGULATOR], atol=1e-10)


def test_spread_counts_what_covariates_explain(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    genes = genes + covariates @ torch.randn(4, G).double() * 3
    expected = np.sqrt((genes.numpy() ** 2).mean(0))
    moments = moments_of(covariates, genes)
    np.testing.assert_allclose(moments.std(), expected[REGULATOR])
    np.testing.assert_allclose(moments.gene_std(), expected)


def test_scaled_moments_are_those_of_scaled_values(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    std, gene_std = torch.rand(R).double() + 0.5, torch.rand(G).double() + 0.5
    expected = Moments(R, G, covariates.shape[1], device=torch.device("cpu"))
    expected.add(covariates, genes[:, REGULATOR] / std, genes / gene_std)
    found = moments_of(covariates, genes).scaled(std, gene_std)
    torch.testing.assert_close(found.partial(), expected.partial())
    torch.testing.assert_close(found.variance(), expected.variance())


def test_effects_are_what_regulators_leave_of_least_squares(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    genes = genes + covariates @ torch.randn(4, G).double() * 3
    weight = torch.randn(G, R).double()
    left = (genes - genes[:, REGULATOR] @ weight.T).numpy()
    expected = LinearRegression(fit_intercept=False).fit(covariates, left).coef_.T
    np.testing.assert_allclose(moments_of(covariates, genes).effects(weight), expected, atol=1e-10)


def test_effects_of_covariates_do_not_matter(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    expected = moments_of(covariates, genes).partial()
    found = moments_of(covariates, genes + covariates @ torch.randn(4, G).double() * 10).partial()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_covariates_that_say_the_same_twice_do_not_matter(covariates: torch.Tensor, genes: torch.Tensor) -> None:
    expected = moments_of(covariates, genes).partial()
    unused = torch.zeros(N, 1).double()
    found = moments_of(torch.cat([covariates, covariates, unused], dim=1), genes).partial()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_minibatches_add_up() -> None:
    cells = MapCells(torch.poisson(torch.full((60, G), 3.0)), torch.ones(60, 1))
    values = MapValues(G, REGULATOR, n_covariates=1)
    values.fit_scale([cells], ExpressionEmbedding(4))
    batches = [MapCells(*rows) for rows in zip(cells.counts.split(20), cells.covariates.split(20), strict=True)]
    found = collect_moments(values, batches, values.of_all)
    assert found.n_cells == 60
    expected = Moments(R, G, 3, device=torch.device("cpu"))
    expected.add(values.covariates(cells), *values.of_all(values.log_expr(cells)))
    torch.testing.assert_close(found.gram, expected.gram)
    torch.testing.assert_close(found.cross, expected.cross)
