"""Ridge regression with a penalty for each pair is solved gene by gene, whatever genes stand beside."""

import numpy as np
import pytest
import torch

from scdual.module.map._adaptive_ridge import adaptive_ridge

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


def test_a_gene_has_the_same_solution_alone(
    products: tuple[torch.Tensor, torch.Tensor], rng: np.random.Generator
) -> None:
    gram, cross = products
    penalty = torch.tensor(10 ** rng.uniform(-3, 1, size=cross.shape))  # some genes need many steps, some few
    is_pair, start = torch.ones_like(cross, dtype=torch.bool), torch.zeros_like(cross)
    together = adaptive_ridge(gram, cross, penalty, start=start, is_pair=is_pair)
    for gene in range(N_GENES):
        one = slice(gene, gene + 1)
        alone = adaptive_ridge(gram, cross[one], penalty[one], start=start[one], is_pair=is_pair[one])
        torch.testing.assert_close(alone, together[one], rtol=1e-9, atol=1e-12)


def test_it_stops_after_its_steps_and_changes_nothing_that_was_given(
    products: tuple[torch.Tensor, torch.Tensor],
) -> None:
    gram, cross = products
    given = {"start": torch.ones_like(cross), "is_pair": torch.ones_like(cross, dtype=torch.bool)}
    copies = [gram.clone(), cross.clone(), given["start"].clone()]
    assert torch.equal(adaptive_ridge(gram, cross, torch.ones_like(cross), **given, max_steps=0), given["start"])
    adaptive_ridge(gram, cross, torch.ones_like(cross), **given)
    for now, before in zip((gram, cross, given["start"]), copies, strict=True):
        assert torch.equal(now, before)


def test_a_gene_that_is_solved_stays_as_it_is_beside_others(products: tuple[torch.Tensor, torch.Tensor]) -> None:
    gram, cross = products
    penalty, is_pair = torch.ones_like(cross), torch.ones_like(cross, dtype=torch.bool)
    start = torch.zeros_like(cross)
    start[0] = torch.linalg.solve(gram + torch.eye(len(gram)), cross[0]) + 1e-9
    found = adaptive_ridge(gram, cross, penalty, start=start, is_pair=is_pair)
    assert torch.equal(found[0], start[0])
    assert not torch.equal(found[1], start[1])
