"""Embeddings follow their equation, and the bins of expression values are quantiles of the data."""

import numpy as np
import pytest
import torch

from scdual.nn import ExpressionEmbedding, GeneEmbedding

N_BINS, N_EMBED = 4, 6
BIN_WIDTH = ExpressionEmbedding.max_value / ExpressionEmbedding.n_grid


def histogram_of(values: torch.Tensor) -> torch.Tensor:
    return torch.histc(values, bins=ExpressionEmbedding.n_grid, min=0, max=ExpressionEmbedding.max_value)


@pytest.fixture
def values() -> torch.Tensor:
    return torch.rand(1000).mul(3).exp().log1p()


@pytest.fixture
def embedding(values: torch.Tensor) -> ExpressionEmbedding:
    embedding = ExpressionEmbedding(N_EMBED, n_bins=N_BINS)
    embedding.set_bins(histogram_of(values))
    return embedding


def test_gene_embedding_gives_one_learnable_vector_per_gene() -> None:
    embedding = GeneEmbedding(12, N_EMBED)
    assert embedding().shape == (12, N_EMBED)
    torch.testing.assert_close(embedding(), embedding.weight / 5**0.5)  # not moved yet
    assert embedding.weight.requires_grad


def test_embedding_follows_its_equation(embedding: ExpressionEmbedding) -> None:
    log_expr = torch.rand(5, 7) * 5
    log_expr[0, :3] = 0
    embedding.alpha.data.fill_(0.7)
    found = embedding(log_expr)
    edges = embedding.bin_edges.tolist()
    for b in range(5):
        for g in range(7):
            value = log_expr[b, g].item()
            state = 0 if value == 0 else 1 + sum(value > edge for edge in edges)
            expected = embedding.bin_emb[state] + 0.7 * value * embedding.cont_direction
            torch.testing.assert_close(found[b, g], expected)


def test_zero_has_a_state_of_its_own(embedding: ExpressionEmbedding) -> None:
    log_expr = torch.tensor([0.0, 1e-4, 13.9, 20.0])
    assert embedding.state_of(log_expr).tolist() == [0, 1, N_BINS, N_BINS]
    torch.testing.assert_close(embedding(log_expr[:1])[0], embedding.bin_emb[0])


@pytest.mark.parametrize("n_bins", [2, 3, 8])
def test_bins_are_quantiles_of_the_non_zero_values(values: torch.Tensor, n_bins: int) -> None:
    embedding = ExpressionEmbedding(N_EMBED, n_bins=n_bins)
    embedding.set_bins(histogram_of(values))
    expected = np.quantile(values.numpy(), np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    np.testing.assert_allclose(embedding.bin_edges, expected, rtol=0, atol=BIN_WIDTH)
    share = torch.bincount(embedding.state_of(values), minlength=n_bins + 1)[1:] / len(values)
    np.testing.assert_allclose(share, 1 / n_bins, atol=0.01)


def test_bin_centers_are_the_means_of_the_bins(embedding: ExpressionEmbedding, values: torch.Tensor) -> None:
    state = embedding.state_of(values)
    expected = torch.stack([values[state == i + 1].mean() for i in range(N_BINS)])
    torch.testing.assert_close(embedding.bin_centers, expected, rtol=0, atol=2 * BIN_WIDTH)


def test_one_bin_for_all_non_zero_values(values: torch.Tensor) -> None:
    embedding = ExpressionEmbedding(N_EMBED, n_bins=1)
    embedding.set_bins(histogram_of(values))
    assert embedding.state_of(torch.tensor([0.0, 0.1, 9.0])).tolist() == [0, 1, 1]
    torch.testing.assert_close(embedding.bin_centers, values.mean()[None], rtol=0, atol=2 * BIN_WIDTH)


def test_fewer_distinct_values_than_bins_leave_bins_empty_but_finite() -> None:
    embedding = ExpressionEmbedding(N_EMBED, n_bins=N_BINS)
    counts = torch.tensor([1.0, 1, 1, 1, 1, 1, 2]).log1p()
    embedding.set_bins(histogram_of(counts))
    assert torch.isfinite(embedding.bin_edges).all()
    assert torch.isfinite(embedding.states()).all()
    first, second = embedding.state_of(counts)[[0, -1]]
    assert 0 < first < second


def test_no_values_leave_the_bins_as_they_are() -> None:
    embedding = ExpressionEmbedding(N_EMBED, n_bins=N_BINS)
    before = embedding.bin_edges.clone()
    embedding.set_bins(torch.zeros(embedding.n_grid))
    torch.testing.assert_close(embedding.bin_edges, before)


def test_bins_are_saved_with_the_weights(embedding: ExpressionEmbedding) -> None:
    other = ExpressionEmbedding(N_EMBED, n_bins=N_BINS)
    other.load_state_dict(embedding.state_dict())
    torch.testing.assert_close(other.bin_edges, embedding.bin_edges)
    torch.testing.assert_close(other.states(), embedding.states())


def test_states_are_embeddings_of_zero_bin_centers_and_mask(embedding: ExpressionEmbedding) -> None:
    states = embedding.states()
    assert states.shape == (N_BINS + 2, N_EMBED)
    torch.testing.assert_close(states[0], embedding(torch.zeros(())))
    for i in range(N_BINS):
        torch.testing.assert_close(states[i + 1], embedding(embedding.bin_centers[i]))
    assert embedding.mask_state == N_BINS + 1
    torch.testing.assert_close(states[embedding.mask_state], embedding.mask_emb)


def test_all_parameters_are_learnable(embedding: ExpressionEmbedding) -> None:
    embedding(torch.rand(50) * 5).square().sum().backward()
    assert embedding.alpha.grad is not None
    assert embedding.alpha.grad != 0
    embedding.states().square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in embedding.parameters())


def test_genes_move_to_those_that_activate_them_and_keep_their_spread() -> None:
    embedding, regulators = GeneEmbedding(200, 16), torch.tensor([3, 8])
    weight = torch.zeros(200, 2)
    weight[50:100, 0], weight[100:150, 0], weight[150:, 1] = 0.2, -0.2, 0.1
    before = embedding.weight.detach().clone()
    embedding.move_to_regulators(weight, regulators)
    assert torch.equal(embedding.weight, before)  # what tells genes apart stays
    after = embedding().detach()
    shift = weight @ before[regulators]
    expected = (before + 2 * before.std() / shift.std() * shift) / 5**0.5
    torch.testing.assert_close(after, expected)
    assert after.std() == pytest.approx(float(before.std()), rel=0.15)
    towards = torch.cosine_similarity(after, before[3][None])
    assert towards[50:100].mean() > 0.3
    assert towards[100:150].mean() < -0.3
    torch.testing.assert_close(after[10:50], before[10:50] / 5**0.5)


def test_without_edges_genes_do_not_move() -> None:
    embedding = GeneEmbedding(20, 8)
    before = embedding().detach().clone()
    embedding.move_to_regulators(torch.zeros(20, 2), torch.tensor([0, 1]))
    torch.testing.assert_close(embedding().detach(), before)
