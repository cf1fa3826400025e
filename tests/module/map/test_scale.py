"""The scale agrees with NumPy and SciPy in float64, and unseen genes stay unseen."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from scdual.module.map import ExpressionScale
from scdual.nn import ExpressionEmbedding

N, G, N_BINS = 200, 12, 4
ALL_GENES = torch.arange(G)
UNSEEN = torch.tensor([7, 2])
OTHERS = [g for g in range(G) if g not in UNSEEN.tolist()]
EMPTY_CELL, SILENT_GENE = 3, 11


@pytest.fixture
def counts() -> torch.Tensor:
    """Counts of two programmes of genes; one cell and one gene have none."""
    rate = torch.rand(N, 2) @ torch.rand(2, G) * torch.rand(G) * 20 * (torch.rand(N, 1) + 0.2)
    counts = torch.poisson(rate)
    counts[EMPTY_CELL], counts[:, SILENT_GENE] = 0, 0
    return counts


@pytest.fixture
def log_expr(counts: torch.Tensor) -> np.ndarray:
    """Depth-normalised log values in float64."""
    library_size = np.maximum(counts.double().numpy().sum(1, keepdims=True), 1)
    return np.log1p(counts.double().numpy() / library_size * np.exp(np.log(library_size).mean()))


def fit_scale(counts: torch.Tensor, n_per_batch: int) -> tuple[ExpressionScale, ExpressionEmbedding]:
    scale, embedding = ExpressionScale(G), ExpressionEmbedding(4, n_bins=N_BINS)
    scale.fit(lambda: ((part, None) for part in counts.split(n_per_batch)), embedding)
    return scale, embedding


@pytest.fixture
def scale(counts: torch.Tensor) -> ExpressionScale:
    return fit_scale(counts, 64)[0]


def test_scale_is_learnt_once(counts: torch.Tensor) -> None:
    assert not ExpressionScale(G).is_fitted
    assert fit_scale(counts, 64)[0].is_fitted


def test_scale_agrees_with_numpy(counts: torch.Tensor, log_expr: np.ndarray, scale: ExpressionScale) -> None:
    library_size = np.maximum(counts.double().numpy().sum(1), 1)
    np.testing.assert_allclose(scale.log_library_size, np.log(library_size).mean(), rtol=1e-6)
    np.testing.assert_allclose(scale.log_library_size_std, np.log(library_size).std(), rtol=1e-6)
    np.testing.assert_allclose(scale.log_expr(counts), log_expr, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale.mean, log_expr.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale.std[:SILENT_GENE], log_expr.std(0)[:SILENT_GENE], rtol=1e-5)
    np.testing.assert_allclose(scale.proportion, counts.double().numpy().sum(0) / counts.sum().item(), rtol=1e-5)


def test_bins_are_quantiles_of_normalised_values(counts: torch.Tensor, log_expr: np.ndarray) -> None:
    embedding = fit_scale(counts, 64)[1]
    quantile = np.arange(1, N_BINS) / N_BINS
    expected = np.quantile(log_expr[log_expr > 0], quantile, method="inverted_cdf")
    np.testing.assert_allclose(embedding.bin_edges, expected, rtol=0, atol=embedding.max_value / embedding.n_grid)


def test_standardised_values_have_mean_zero_and_variance_one(counts: torch.Tensor, scale: ExpressionScale) -> None:
    values = scale.standardise(scale.log_expr(counts)).double()
    torch.testing.assert_close(values.mean(0), torch.zeros(G).double(), rtol=0, atol=1e-5)
    expected = torch.ones(G).double()
    expected[SILENT_GENE] = 0  # a constant gene is finite and stays constant
    torch.testing.assert_close(values.std(0, correction=0), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_per_batch", [1, 7, N])
def test_scale_does_not_depend_on_minibatches(counts: torch.Tensor, n_per_batch: int) -> None:
    (scale, embedding), (expected, expected_embedding) = fit_scale(counts, n_per_batch), fit_scale(counts, 64)
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(getattr(scale, name), buffer, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(embedding.bin_edges, expected_embedding.bin_edges)
    torch.testing.assert_close(embedding.bin_centers, expected_embedding.bin_centers)


def test_cells_without_counts_are_zero(scale: ExpressionScale) -> None:
    assert torch.equal(scale.log_expr(torch.zeros(2, G)), torch.zeros(2, G))
    assert torch.equal(scale.log_expr(torch.zeros(2, G), UNSEEN), torch.zeros(2, G))


def test_depth_of_a_cell_does_not_matter(counts: torch.Tensor, scale: ExpressionScale) -> None:
    seen = counts[counts.sum(1) > 0]
    torch.testing.assert_close(scale.log_expr(3 * seen), scale.log_expr(seen))


@pytest.mark.parametrize("gene", UNSEEN.tolist())
def test_counts_of_unseen_genes_do_not_move_the_others(counts: torch.Tensor, scale: ExpressionScale, gene: int) -> None:
    changed = counts.clone()
    changed[:, gene] += 50
    assert torch.equal(scale.log_expr(changed, UNSEEN)[:, OTHERS], scale.log_expr(counts, UNSEEN)[:, OTHERS])
    assert not torch.allclose(scale.log_expr(changed)[:, OTHERS], scale.log_expr(counts)[:, OTHERS])


def test_mean_share_makes_up_for_unseen_genes(scale: ExpressionScale) -> None:
    average_cell = 1000 * scale.proportion[None]
    torch.testing.assert_close(scale.log_expr(average_cell, UNSEEN), scale.log_expr(average_cell))


@pytest.mark.parametrize("unseen", [None, UNSEEN])
def test_log_values_follow_their_equation(
    counts: torch.Tensor, scale: ExpressionScale, unseen: torch.Tensor | None
) -> None:
    seen = list(range(G)) if unseen is None else OTHERS
    share = scale.proportion[seen].sum()
    for b in range(10):
        library_size = max(float(counts[b, seen].sum() / share), 1.0)
        expected = torch.log1p(counts[b] * scale.log_library_size.exp() / library_size)
        torch.testing.assert_close(scale.log_expr(counts[[b]], unseen)[0], expected)


# ---- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unseen", [None, UNSEEN])
def test_depth_is_the_standardised_log_library_size_and_its_square(
    counts: torch.Tensor, scale: ExpressionScale, unseen: torch.Tensor | None
) -> None:
    seen = list(range(G)) if unseen is None else OTHERS
    size = np.log(np.maximum((counts[:, seen].sum(1).double() / scale.proportion[seen].sum()).numpy(), 1))
    all_sizes = np.log(np.maximum(counts.sum(1).double().numpy(), 1))
    expected = ((size - all_sizes.mean()) / all_sizes.std()).clip(-4, 4)
    np.testing.assert_allclose(
        scale.depth(counts, unseen), np.column_stack([expected, expected**2]), rtol=1e-4, atol=1e-4
    )


def test_cells_of_equal_size_have_depth_zero(counts: torch.Tensor) -> None:
    scale = fit_with_size_factor(counts, torch.full((N, 1), 7.0))[0]
    assert torch.equal(scale.depth(counts, size_factor=torch.full((N, 1), 7.0)).round(decimals=4), torch.zeros(N, 2))


@pytest.mark.parametrize("gene", UNSEEN.tolist())
def test_counts_of_unseen_genes_do_not_move_depth(counts: torch.Tensor, scale: ExpressionScale, gene: int) -> None:
    changed = counts.clone()
    changed[:, gene] += 50
    assert torch.equal(scale.depth(changed, UNSEEN), scale.depth(counts, UNSEEN))
    assert not torch.allclose(scale.depth(changed), scale.depth(counts))


# ---- size factors -----------------------------------------------------------------------------------------------------


def fit_with_size_factor(
    counts: torch.Tensor, size_factor: torch.Tensor
) -> tuple[ExpressionScale, ExpressionEmbedding]:
    scale, embedding = ExpressionScale(G), ExpressionEmbedding(4, n_bins=N_BINS)
    scale.fit(lambda: zip(counts.split(64), size_factor.split(64), strict=True), embedding)
    return scale, embedding


@pytest.mark.parametrize("unseen", [None, UNSEEN])
def test_size_factors_take_the_place_of_the_library_size(counts: torch.Tensor, unseen: torch.Tensor | None) -> None:
    size_factor = torch.rand(N, 1) * 100 + 10
    scale = fit_with_size_factor(counts, size_factor)[0]
    size = size_factor.double().numpy()
    expected = np.log1p(counts.double().numpy() / size * np.exp(np.log(size).mean()))
    np.testing.assert_allclose(scale.log_expr(counts, unseen, size_factor), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale.mean, expected.mean(0), rtol=1e-5, atol=1e-6)
    score = scale.rank_score(torch.tensor(expected).float(), ALL_GENES).numpy()
    assert np.abs(score - standard_ranks(expected)).mean() < 0.05


def test_size_factors_equal_to_the_library_size_change_nothing(counts: torch.Tensor) -> None:
    size_factor = counts.sum(1, keepdim=True).clamp_min(1)
    (scale, embedding), (expected, expected_embedding) = (
        fit_with_size_factor(counts, size_factor),
        fit_scale(counts, 64),
    )
    for name, buffer in expected.named_buffers():
        torch.testing.assert_close(getattr(scale, name), buffer)
    torch.testing.assert_close(embedding.bin_edges, expected_embedding.bin_edges)
    torch.testing.assert_close(scale.log_expr(counts, None, size_factor), expected.log_expr(counts))


# ---- ranks ------------------------------------------------------------------------------------------------------------


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks of cells in each gene, ties at their mean rank, mean 0 and standard deviation 1."""
    rank = rankdata(values, axis=0)
    std = rank.std(0)
    return (rank - rank.mean(0)) / np.where(std > 0, std, 1)


@pytest.mark.parametrize("n_cells", [2, 8, 32])
def test_ranks_of_few_cells_agree_with_scipy(counts: torch.Tensor, n_cells: int) -> None:
    few = counts[10 : 10 + n_cells]
    scale = fit_scale(few, 5)[0]
    log_expr = scale.log_expr(few)
    np.testing.assert_allclose(scale.rank_score(log_expr, ALL_GENES), standard_ranks(log_expr.numpy()), atol=1e-5)


@pytest.mark.parametrize("n_cells", [20, N, 3000])
def test_ranks_of_many_cells_are_close_to_those_of_scipy(n_cells: int) -> None:
    counts = torch.poisson(torch.rand(n_cells, 1) * torch.logspace(0, 2, G))  # from often zero to hardly ever
    scale = fit_scale(counts, 128)[0]
    log_expr = scale.log_expr(counts)
    found, expected = scale.rank_score(log_expr, ALL_GENES).numpy(), standard_ranks(log_expr.numpy())
    for gene in range(G):
        assert np.corrcoef(found[:, gene], expected[:, gene])[0, 1] > 0.995
    assert np.abs(found - expected).mean() < 0.05


def test_ranks_have_mean_zero_and_variance_one(counts: torch.Tensor, scale: ExpressionScale) -> None:
    score = scale.rank_score(scale.log_expr(counts), ALL_GENES).double()
    torch.testing.assert_close(score.mean(0), torch.zeros(G).double(), rtol=0, atol=1e-5)
    expected = torch.ones(G).double()
    expected[SILENT_GENE] = 0
    torch.testing.assert_close(score.std(0, correction=0), expected, rtol=0, atol=1e-4)


def test_equal_values_share_their_rank_and_larger_ones_never_rank_lower(
    counts: torch.Tensor, scale: ExpressionScale
) -> None:
    log_expr = scale.log_expr(counts)
    score = scale.rank_score(log_expr, ALL_GENES)
    for gene in range(G):
        is_zero = log_expr[:, gene] == 0
        assert len(score[is_zero, gene].unique()) <= 1
        assert (score[log_expr[:, gene].argsort(), gene].diff() >= 0).all()


def test_the_rank_of_zeros_is_the_middle_of_their_ranks() -> None:
    counts = torch.zeros(32, G)
    counts[:8] = torch.arange(1, 9)[:, None]  # 24 zeros have ranks 1 to 24, the others 25 to 32
    scale = fit_scale(counts, 32)[0]
    score = scale.rank_score(scale.log_expr(counts), ALL_GENES)
    rank = score * scale.rank_std + scale.rank_mean
    torch.testing.assert_close(rank[8:], torch.full((24, G), 12 / 32))


def test_outliers_and_the_shape_of_a_distribution_do_not_matter(counts: torch.Tensor, scale: ExpressionScale) -> None:
    log_expr = scale.log_expr(counts)
    expected = scale.rank_score(log_expr, ALL_GENES)
    for gene in range(G - 1):
        assert spearmanr(expected[:, gene], log_expr[:, gene]).statistic > 0.99
    top = log_expr.argmax(0)
    log_expr[top, ALL_GENES] *= 100
    assert torch.equal(scale.rank_score(log_expr, ALL_GENES), expected)


def test_ranks_of_some_genes_are_columns_of_those_of_all(counts: torch.Tensor, scale: ExpressionScale) -> None:
    log_expr, some = scale.log_expr(counts), torch.tensor([7, 0, 11])
    expected = scale.rank_score(log_expr, ALL_GENES)[:, some]
    assert torch.equal(scale.rank_score(log_expr[:, some], some), expected)


def test_ranks_do_not_depend_on_the_order_of_cells_and_minibatches(
    counts: torch.Tensor, scale: ExpressionScale
) -> None:
    other = fit_scale(counts[torch.randperm(N)], 13)[0]
    log_expr = scale.log_expr(counts)
    torch.testing.assert_close(other.rank_score(log_expr, ALL_GENES), scale.rank_score(log_expr, ALL_GENES))
    order = torch.randperm(N)
    permuted = scale.rank_score(log_expr[order], ALL_GENES)
    assert torch.equal(permuted, scale.rank_score(log_expr, ALL_GENES)[order])


def test_ranks_do_not_depend_on_the_order_of_genes(counts: torch.Tensor, scale: ExpressionScale) -> None:
    order = torch.randperm(G)
    other = fit_scale(counts[:, order], 64)[0]
    found = other.rank_score(other.log_expr(counts[:, order]), ALL_GENES)
    torch.testing.assert_close(found, scale.rank_score(scale.log_expr(counts), ALL_GENES)[:, order])
