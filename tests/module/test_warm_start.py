"""The linear start agrees with least squares and ridge regression, solved gene by gene in float64.

Dimension key
    N  cells      G  genes      R  regulators      U  covariates
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from scdual.module._warm_start import (
    Moments,
    correlation_signal,
    leave_one_out_ridge,
    shared_information,
)

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


# ---- moments ----------------------------------------------------------------------------------------------------------


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


# ---- what correlations say --------------------------------------------------------------------------------------------


def test_signal_is_the_mean_squared_correlation_of_other_genes(genes: torch.Tensor) -> None:
    correlation = np.corrcoef(genes.numpy(), rowvar=False)
    squares = [correlation[i, g] ** 2 for i in REGULATOR.tolist() for g in range(G) if g != i]
    found = correlation_signal(torch.tensor(correlation)[REGULATOR], REGULATOR, N)
    assert found == pytest.approx(N * np.mean(squares))


@pytest.mark.parametrize("n_cells", [50, 1000])
def test_signal_of_pure_noise_is_one_for_any_number_of_cells(n_cells: int) -> None:
    noise = np.random.default_rng(0).normal(size=(n_cells, 200))
    correlation = torch.tensor(np.corrcoef(noise, rowvar=False))
    assert correlation_signal(correlation, torch.arange(200), n_cells) == pytest.approx(1, abs=0.05)


def test_a_gene_that_is_alone_has_no_signal() -> None:
    assert correlation_signal(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64), 10) == 0


@pytest.mark.parametrize(("n_copies", "expected"), [(1, 0.0), (3, 2.0)])
def test_shared_information_counts_regulators_that_tell_the_same(n_copies: int, expected: float) -> None:
    """Five signals, each carried by as many regulators."""
    correlation = np.kron(np.eye(5), np.ones((n_copies, n_copies)))
    found = shared_information(torch.tensor(correlation), n_cells=10**9)
    assert found == pytest.approx(expected, abs=1e-6)


def test_shared_information_is_the_mean_sum_of_squared_correlations(genes: torch.Tensor) -> None:
    correlation = np.corrcoef(genes.numpy()[:, REGULATOR], rowvar=False)
    sums = [sum(correlation[i, j] ** 2 for j in range(R) if j != i) for i in range(R)]
    found = shared_information(torch.tensor(correlation), N)
    assert found == pytest.approx(np.mean(sums) - (R - 1) / N)


def test_noise_shares_no_information() -> None:
    noise = np.random.default_rng(0).normal(size=(100, 150))
    correlation = torch.tensor(np.corrcoef(noise, rowvar=False))
    others = (correlation.square().sum() - 150) / 150
    assert others > 1  # by chance alone
    assert shared_information(correlation, 100) < 0.1
    assert shared_information(torch.eye(4), 3) == 0  # never negative


# ---- ridge ------------------------------------------------------------------------------------------------------------


def loop_ridge(genes: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return the ridge coefficients of each gene on the regulators except itself, shape ``(G, R)``."""
    expected = torch.zeros(G, R).double()
    for g in range(G):
        others = [i for i, regulator in enumerate(REGULATOR.tolist()) if regulator != g]
        fit = Ridge(alpha=N * penalty, fit_intercept=False).fit(genes[:, REGULATOR[others]], genes[:, g])
        expected[g, others] = torch.tensor(fit.coef_)
    return expected


@pytest.mark.parametrize("penalty", [0.0, 0.3, 4.0])
def test_ridge_agrees_with_solving_each_gene_without_itself(genes: torch.Tensor, penalty: float) -> None:
    gram, cross = genes[:, REGULATOR].T @ genes[:, REGULATOR] / N, genes[:, REGULATOR].T @ genes / N
    found = leave_one_out_ridge(gram, cross, REGULATOR, penalty=penalty)
    torch.testing.assert_close(found, loop_ridge(genes, penalty), rtol=1e-8, atol=1e-10)


def test_no_gene_regulates_itself(genes: torch.Tensor) -> None:
    gram, cross = genes[:, REGULATOR].T @ genes[:, REGULATOR] / N, genes[:, REGULATOR].T @ genes / N
    own = leave_one_out_ridge(gram, cross, REGULATOR, penalty=1.0)[REGULATOR].diagonal()
    torch.testing.assert_close(own, torch.zeros(R).double(), rtol=0, atol=1e-12)


def test_covariance_of_a_regulator_with_itself_does_not_matter(genes: torch.Tensor) -> None:
    gram, cross = genes[:, REGULATOR].T @ genes[:, REGULATOR] / N, genes[:, REGULATOR].T @ genes / N
    changed = cross.clone()
    changed[torch.arange(R), REGULATOR] += 7
    expected = leave_one_out_ridge(gram, cross.clone(), REGULATOR, penalty=1.0)
    found = leave_one_out_ridge(gram, changed, REGULATOR, penalty=1.0)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_moments_are_left_as_they_were(genes: torch.Tensor) -> None:
    gram, cross = genes[:, REGULATOR].T @ genes[:, REGULATOR] / N, genes[:, REGULATOR].T @ genes / N
    before = gram.clone(), cross.clone()
    leave_one_out_ridge(gram, cross, REGULATOR, penalty=1.0)
    assert torch.equal(gram, before[0])
    assert torch.equal(cross, before[1])


def test_order_of_genes_and_regulators_does_not_matter(genes: torch.Tensor) -> None:
    order, place = torch.randperm(G), torch.randperm(R)
    other, index = genes[:, order], order.argsort()[REGULATOR[place]]
    expected = leave_one_out_ridge(
        genes[:, REGULATOR].T @ genes[:, REGULATOR] / N, genes[:, REGULATOR].T @ genes / N, REGULATOR, penalty=1.0
    )
    found = leave_one_out_ridge(
        other[:, index].T @ other[:, index] / N, other[:, index].T @ other / N, index, penalty=1.0
    )
    torch.testing.assert_close(found, expected[order][:, place], rtol=1e-8, atol=1e-10)
