"""The linear start agrees with ridge regression, solved gene by gene in float64, and its penalty with correlations.

Dimension key
    N  cells      G  genes      R  regulators
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from scdual.module.map._ridge import correlation_over_noise, leave_one_out_ridge, shared_information

N, G = 300, 14
REGULATOR = torch.tensor([9, 2, 5, 0, 13])
R = len(REGULATOR)


@pytest.fixture
def genes() -> torch.Tensor:
    """Correlated values of all genes, float64, shape ``(N, G)``."""
    return torch.randn(N, 4).double() @ torch.randn(4, G).double() + torch.randn(N, G).double()


# ---- what correlations say --------------------------------------------------------------------------------------------


def test_signal_is_the_mean_squared_correlation_of_other_genes(genes: torch.Tensor) -> None:
    correlation = np.corrcoef(genes.numpy(), rowvar=False)
    squares = [correlation[i, g] ** 2 for i in REGULATOR.tolist() for g in range(G) if g != i]
    found = correlation_over_noise(torch.tensor(correlation)[REGULATOR], REGULATOR, N)
    assert found == pytest.approx(N * np.mean(squares))


@pytest.mark.parametrize("n_cells", [50, 1000])
def test_signal_of_pure_noise_is_one_for_any_number_of_cells(n_cells: int) -> None:
    noise = np.random.default_rng(0).normal(size=(n_cells, 200))
    correlation = torch.tensor(np.corrcoef(noise, rowvar=False))
    assert correlation_over_noise(correlation, torch.arange(200), n_cells) == pytest.approx(1, abs=0.05)


def test_a_gene_that_is_alone_has_no_signal() -> None:
    assert correlation_over_noise(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64), 10) == 0


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
