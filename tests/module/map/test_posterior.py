"""The posterior of the map: solved, shrunk and judged as independent code does it."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from scdual.module.map import _blocks
from scdual.module.map._posterior import (
    KnownPairs,
    Posterior,
    excess_variance,
    leading_directions,
    posterior_map,
)

N_GENES, N_REGULATORS = 40, 8


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def products(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    values = rng.normal(size=(300, N_REGULATORS)) @ rng.normal(size=(N_REGULATORS, N_REGULATORS))
    genes = values @ rng.normal(size=(N_REGULATORS, N_GENES)) + rng.normal(size=(300, N_GENES))
    return torch.tensor(values.T @ values / 300), torch.tensor(genes.T @ values / 300)


def test_the_shared_part_is_what_stands_out_of_the_noise(rng: np.random.Generator) -> None:
    left, right = rng.normal(size=(200, 2)), rng.normal(size=(2, 30))
    noise = rng.normal(size=(200, 30))
    weight = torch.tensor(left @ right + 0.3 * noise)
    of_z, of_weight = weight.T @ weight / 0.09, weight.T @ weight
    directions = leading_directions(of_z, of_weight, n_genes=200)
    found = (weight @ directions @ directions.T).numpy()
    u, s, vt = np.linalg.svd(weight.numpy(), full_matrices=False)
    np.testing.assert_allclose(found, (u[:, :2] * s[:2]) @ vt[:2], atol=1e-8)
    of_noise = torch.tensor(noise.T @ noise)
    assert leading_directions(of_noise, of_noise, n_genes=200).shape == (30, 1)


def test_estimates_as_large_as_their_errors_leave_nothing(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> None:
    gram, cross = products
    estimate = torch.tensor(rng.normal(size=cross.shape))
    variance = torch.full_like(estimate, float(estimate.square().mean()))
    assert excess_variance(estimate, variance) == 0
    found = posterior_map(estimate, variance, gram, cross, penalty=1.0, least_share=0.3)
    assert not found.weight.any()
    assert not found.sd.any()
    assert (found.support < 0.95).all()


def test_a_pair_without_an_estimate_has_nothing(products: tuple[torch.Tensor, torch.Tensor]) -> None:
    gram, cross = products
    estimate = cross.clone()
    estimate[3, 4] = 0
    found = posterior_map(estimate, torch.full_like(cross, 1e-4), gram, cross, penalty=1.0, least_share=0.3)
    assert [float(values[3, 4]) for values in found] == [0, 0, 0, 0]
    assert all(torch.isfinite(values).all() for values in found)
    nothing = posterior_map(torch.zeros_like(cross), torch.ones_like(cross), gram, cross, penalty=1.0, least_share=0.3)
    assert not any(values.any() for values in nothing)


def test_precise_estimates_are_kept_and_vague_ones_shrunk(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> None:
    gram, cross = products
    estimate = torch.linalg.solve(gram + torch.eye(N_REGULATORS), cross.T).T
    precise = posterior_map(estimate, torch.full_like(cross, 1e-8), gram, cross, penalty=1.0, least_share=1.0)
    torch.testing.assert_close(precise.weight, estimate, rtol=1e-3, atol=1e-4)  # one penalty for all: the same ridge
    assert (precise.support[estimate.abs() > 0.01] > 0.999).all()
    vague = posterior_map(estimate, torch.full_like(cross, 0.5), gram, cross, penalty=1.0, least_share=1.0)
    assert (vague.weight.abs() < precise.weight.abs()).all()


def test_a_sparse_regression_counts_as_much_as_the_other_and_is_shrunk_alike(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> None:
    gram, cross = products
    estimate = torch.linalg.solve(gram + torch.eye(N_REGULATORS), cross.T).T
    estimate[3, 4] = 0
    variance = torch.tensor(rng.uniform(0.001, 0.1, size=cross.shape))
    sparse = torch.tensor(rng.normal(size=cross.shape))
    given = {"penalty": 1.0, "least_share": 0.3}
    without = posterior_map(estimate, variance, gram, cross, **given)
    found = posterior_map(estimate, variance, gram, cross, **given, sparse=sparse)
    share = without.sd.square() / variance  # what errors leave of a weight
    torch.testing.assert_close(found.weight, (without.weight + share * sparse) / 2)
    apart = (without.weight - share * sparse) / 2
    torch.testing.assert_close(found.sd, (without.sd.square() + apart.square()).sqrt())
    torch.testing.assert_close(found.z, without.z)
    turned = (found.weight.sign() != without.weight.sign()) & (estimate != 0)
    assert turned.any()
    torch.testing.assert_close(found.support[turned], 1 - without.support[turned])
    torch.testing.assert_close(found.support[~turned], without.support[~turned])


def test_the_order_of_genes_does_not_matter(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> None:
    gram, cross = products
    estimate = torch.linalg.solve(gram + torch.eye(N_REGULATORS), cross.T).T
    variance = torch.tensor(rng.uniform(0.001, 0.1, size=cross.shape))
    genes, regulators = torch.randperm(N_GENES), torch.randperm(N_REGULATORS)
    found = posterior_map(estimate, variance, gram, cross, penalty=1.0, least_share=0.3)
    given = (matrix[genes][:, regulators] for matrix in (estimate, variance))
    other = posterior_map(
        *given, gram[regulators][:, regulators], cross[genes][:, regulators], penalty=1.0, least_share=0.3
    )
    for one, two in zip(found, other, strict=True):
        torch.testing.assert_close(one[genes][:, regulators], two, rtol=1e-4, atol=1e-5)


@pytest.fixture
def estimates(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Estimates and their squared errors, which reach over five orders of magnitude; some pairs are none."""
    gram, cross = products
    estimate = torch.linalg.solve(gram + torch.eye(N_REGULATORS), cross.T).T.contiguous()
    estimate *= torch.tensor(rng.random(estimate.shape) > 0.1)
    return estimate, torch.tensor(10 ** rng.uniform(-5, 0, size=estimate.shape))


def in_blocks_of(monkeypatch: pytest.MonkeyPatch, n_values: int) -> None:
    """Let all matrices be read so many values at a time."""
    monkeypatch.setattr(_blocks.row_blocks, "__kwdefaults__", {"n_values": n_values})


@pytest.mark.parametrize("n_values", [1, 3 * N_REGULATORS, 7 * N_REGULATORS + 2])
def test_blocks_of_genes_do_not_matter(
    products: tuple[torch.Tensor, torch.Tensor],
    estimates: tuple[torch.Tensor, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    n_values: int,
) -> None:
    gram, cross = products
    whole = posterior_map(*estimates, gram, cross, penalty=1.0, least_share=0.3)
    in_blocks_of(monkeypatch, n_values)
    found = posterior_map(*estimates, gram, cross, penalty=1.0, least_share=0.3)
    for one, other in zip(whole, found, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_single_precision_changes_no_digit_that_is_shown(
    products: tuple[torch.Tensor, torch.Tensor], estimates: tuple[torch.Tensor, torch.Tensor]
) -> None:
    gram, cross = products
    exact = posterior_map(*estimates, gram, cross, penalty=1.0, least_share=0.3)
    single = posterior_map(*(part.float() for part in estimates), gram, cross, penalty=1.0, least_share=0.3)
    assert {part.dtype for part in single} == {torch.float32}
    for one, other in zip(exact, single, strict=True):
        torch.testing.assert_close(one, other.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("noise", [None, 0.3], ids=["all stands out", "of low rank"])
def test_the_posterior_is_that_of_its_equations(
    products: tuple[torch.Tensor, torch.Tensor],
    estimates: tuple[torch.Tensor, torch.Tensor],
    rng: np.random.Generator,
    noise: float | None,
) -> None:
    """All at once in NumPy, with the ridge solved gene by gene."""
    if noise is not None:
        shared = rng.normal(size=(N_GENES, 1)) * rng.normal(size=(1, N_REGULATORS))
        error = noise * 10 ** rng.uniform(-0.5, 0.5, size=shared.shape)
        weight = (shared + error * rng.normal(size=shared.shape)) * (rng.random(shared.shape) > 0.2)
        estimates = torch.tensor(weight), torch.tensor(error**2)
    gram, cross = (part.numpy() for part in products)
    w, s2 = (part.numpy() for part in estimates)
    is_pair = w != 0
    tau2 = brentq(lambda tau: (w[is_pair] ** 2 / (tau + s2[is_pair])).mean() - 1, 0, 1e3, xtol=1e-14)
    shrunken, z = w * tau2 / (tau2 + s2), w / np.sqrt(s2)
    values = np.linalg.svd(z, compute_uv=False)
    rank = max(1, int((values > np.sqrt(N_GENES) + np.sqrt(N_REGULATORS)).sum()))
    assert (rank < N_REGULATORS) == (noise is not None)
    u, s, vt = np.linalg.svd(shrunken, full_matrices=False)
    size = np.abs((u[:, :rank] * s[:rank]) @ vt[:rank])
    penalty = 1.0 / (0.3 + 0.7 * size / size.mean(1, keepdims=True))
    refit = np.zeros_like(w)
    for gene in range(N_GENES):
        pairs = is_pair[gene]
        matrix = gram[np.ix_(pairs, pairs)] + np.diag(penalty[gene, pairs])
        refit[gene, pairs] = np.linalg.solve(matrix, cross[gene, pairs])
    relative = 0.3 + 0.7 * size / size[is_pair].mean()
    prior = tau2 * relative / relative[is_pair].mean()
    share = prior / (prior + s2) * is_pair
    found = posterior_map(*estimates, *products, penalty=1.0, least_share=0.3)
    np.testing.assert_allclose(found.weight, share * refit, rtol=1e-3, atol=5e-4)  # as exact as the iterations
    np.testing.assert_allclose(found.sd, np.sqrt(share * s2), rtol=1e-9)
    np.testing.assert_allclose(found.z, z * is_pair, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_excess_variance_is_where_the_mean_is_one(estimates: tuple[torch.Tensor, torch.Tensor], scale: float) -> None:
    estimate, variance = estimates[0] * scale, estimates[1] * scale**2
    is_pair = estimate != 0
    square, error = estimate[is_pair].numpy() ** 2, variance[is_pair].numpy()
    expected = brentq(lambda tau: (square / (tau + error)).mean() - 1, 0, 1e3 * square.max(), xtol=1e-16 * scale**2)
    assert float(excess_variance(estimate, variance)) == pytest.approx(expected, rel=1e-9)


def test_a_sign_that_the_refit_turns_is_as_unlikely_as_the_other_is_likely(
    products: tuple[torch.Tensor, torch.Tensor], estimates: tuple[torch.Tensor, torch.Tensor]
) -> None:
    gram, cross = products
    estimate, variance = estimates
    found, turned = (
        posterior_map(sign * estimate, variance, gram, cross, penalty=1.0, least_share=1.0) for sign in (1, -1)
    )
    sure = (estimate != 0) & (found.weight.abs() > 1e-3)
    torch.testing.assert_close(found.weight[sure], turned.weight[sure], rtol=1e-3, atol=1e-4)  # what the refit says
    torch.testing.assert_close(found.support[sure], 1 - turned.support[sure])
    assert found.support[sure].max() > 0.99


def test_few_newton_steps_are_not_taken_for_the_answer() -> None:
    """Errors of two sizes bend the reciprocal of the mean, so each step stops far short of the answer."""
    estimate = torch.tensor([[1.0, 100.0]], dtype=torch.float64)
    variance = torch.tensor([[1e-6, 5e3]], dtype=torch.float64)
    square, error = (estimate**2).numpy(), variance.numpy()
    expected = brentq(lambda tau: (square / (tau + error)).mean() - 1, 0, 1e5, xtol=1e-12)
    assert float(excess_variance(estimate, variance)) == pytest.approx(expected, rel=1e-9)


def test_all_that_is_known_is_kept() -> None:
    known = KnownPairs(3, 2)
    assert not known.is_known
    posterior = Posterior(*torch.rand(4, 3, 2))
    n_cells = torch.arange(6).reshape(3, 2)
    known.set(posterior, n_cells)
    assert known.is_known
    assert torch.equal(known.n_cells, n_cells.int())
    assert all(torch.equal(one, other) for one, other in zip(known.posterior(), posterior, strict=True))
