"""Scale and mixture agree with NumPy and scikit-learn in float64, and unseen genes stay unseen."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from scdual.module import ExpressionScale, ValueMixture
from scdual.nn import ExpressionEmbedding

N, G, P, N_BINS = 200, 12, 3, 4
REGULATOR = torch.tensor([4, 0, 7, 9])
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
    scale.fit(lambda: counts.split(n_per_batch), embedding)
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


# ---- mixture ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def observed(counts: torch.Tensor, scale: ExpressionScale) -> torch.Tensor:
    return scale.standardise(scale.log_expr(counts))


def fit_mixture(batches: Iterable[torch.Tensor], n_components: int = P, denoised_weight: float = 0.5) -> ValueMixture:
    mixture = ValueMixture(G, REGULATOR, n_components=n_components, denoised_weight=denoised_weight)
    mixture.fit(batches)
    return mixture


@pytest.mark.parametrize("n_per_batch", [7, N])
@pytest.mark.parametrize("n_components", [P, 50])
def test_mixture_adds_what_principal_components_say(
    observed: torch.Tensor, n_per_batch: int, n_components: int
) -> None:
    mixture = fit_mixture(observed.split(n_per_batch), n_components)
    values = observed.double().numpy()
    components = PCA(min(n_components, G), svd_solver="full").fit(values).components_
    denoised = (values @ components.T @ components)[:, REGULATOR]
    expected = values[:, REGULATOR] + 0.5 * denoised / denoised.std(0)
    np.testing.assert_allclose(mixture(observed), expected / expected.std(0), rtol=0, atol=0.02)


@pytest.mark.parametrize("denoised_weight", [0.0, 0.5, 2.0])
def test_mixture_has_unit_variance_on_training_cells(observed: torch.Tensor, denoised_weight: float) -> None:
    std = fit_mixture([observed], denoised_weight=denoised_weight)(observed).std(0)
    torch.testing.assert_close(std, torch.ones(len(REGULATOR)), rtol=0, atol=0.01)


def test_mixture_without_denoised_values_is_the_observed(observed: torch.Tensor) -> None:
    mixture = fit_mixture([observed], denoised_weight=0.0)
    torch.testing.assert_close(mixture(observed), observed[:, REGULATOR])


@pytest.mark.parametrize("gene", UNSEEN.tolist())
def test_unseen_genes_do_not_move_other_regulators(observed: torch.Tensor, gene: int) -> None:
    mixture, changed = fit_mixture([observed]), observed.clone()
    changed[:, gene] += 5
    others = [i for i, regulator in enumerate(REGULATOR.tolist()) if regulator != gene]
    assert torch.equal(mixture(changed, UNSEEN)[:, others], mixture(observed, UNSEEN)[:, others])
    assert not torch.allclose(mixture(changed)[:, others], mixture(observed)[:, others])


def test_unseen_genes_enter_denoising_at_their_mean(observed: torch.Tensor) -> None:
    mixture, at_mean = fit_mixture([observed]), observed.clone()
    at_mean[:, UNSEEN] = 0
    seen = [i for i, regulator in enumerate(REGULATOR.tolist()) if regulator in OTHERS]
    torch.testing.assert_close(mixture(observed, UNSEEN)[:, seen], mixture(at_mean)[:, seen])


@pytest.mark.parametrize("n_cells", [1, 2, 9])
def test_fewer_cells_than_components_leave_nothing_to_denoise_with(observed: torch.Tensor, n_cells: int) -> None:
    values = fit_mixture([observed[:n_cells]], n_components=10)(observed)
    ratio = values / observed[:, REGULATOR]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_many_chunks_of_cells_agree_with_one(observed: torch.Tensor) -> None:
    many = observed.repeat(15, 1)  # 3,000 cells: more than one chunk
    values, expected = fit_mixture(many.split(128))(observed), fit_mixture([many])(observed)
    torch.testing.assert_close(values.std(0), torch.ones(len(REGULATOR)), rtol=0, atol=0.02)
    for i in range(len(REGULATOR)):
        assert torch.corrcoef(torch.stack([values[:, i], expected[:, i]]))[0, 1] > 0.98


def test_mixture_is_saved_and_loaded(observed: torch.Tensor) -> None:
    mixture = fit_mixture([observed])
    other = ValueMixture(G, REGULATOR, n_components=P, denoised_weight=0.5)
    other.load_state_dict(mixture.state_dict())
    torch.testing.assert_close(other(observed), mixture(observed))
