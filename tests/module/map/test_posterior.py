"""The posterior of the map: solved, shrunk and judged as independent code does it."""

import numpy as np
import pytest
import torch

from scdual.module.map._adaptive_ridge import adaptive_ridge
from scdual.module.map._posterior import excess_variance, leading_directions, posterior_map
from scdual.module.map._sign import sign_probability

N_GENES, N_REGULATORS = 40, 8


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def products(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    values = rng.normal(size=(300, N_REGULATORS)) @ rng.normal(size=(N_REGULATORS, N_REGULATORS))
    genes = values @ rng.normal(size=(N_REGULATORS, N_GENES)) + rng.normal(size=(300, N_GENES))
    return torch.tensor(values.T @ values / 300), torch.tensor(genes.T @ values / 300)


def test_the_adaptive_ridge_solves_each_gene(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> None:
    gram, cross = products
    penalty = torch.tensor(rng.uniform(0.1, 5, size=cross.shape))
    is_pair = torch.tensor(rng.random(cross.shape) > 0.2)
    start = torch.tensor(rng.normal(size=cross.shape))
    found = adaptive_ridge(gram, cross, penalty, start=start, is_pair=is_pair, tolerance=1e-10)
    for gene in range(N_GENES):
        pairs = is_pair[gene].numpy()
        matrix = gram.numpy()[np.ix_(pairs, pairs)] + np.diag(penalty[gene].numpy()[pairs])
        expected = np.linalg.solve(matrix, cross[gene].numpy()[pairs])
        np.testing.assert_allclose(found[gene].numpy()[pairs], expected, rtol=1e-6, atol=1e-9)
        assert not found[gene].numpy()[~pairs].any()


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


def test_the_probability_of_a_sign_is_how_often_it_is_right(rng: np.random.Generator) -> None:
    shape = (2000, 20)
    truth = rng.normal(size=shape) * np.where(rng.random(shape) < 0.2, 1.0, 0.1)
    sd = rng.uniform(0.1, 0.6, size=shape)
    estimate = truth + sd * rng.normal(size=shape)
    stated = sign_probability(torch.tensor(estimate), torch.tensor(sd**2)).numpy()
    is_right = np.sign(estimate) == np.sign(truth)
    for low in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        chosen = (stated >= low) & (stated < low + 0.1)
        assert chosen.sum() > 200
        assert abs(is_right[chosen].mean() - stated[chosen].mean()) < 0.03


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
