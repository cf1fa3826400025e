"""Few regulators of a gene: found as a loop over single effects finds them, and only where other cells bear it out.

Dimension key
    N  cells      G  genes      R  regulators
"""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LinearRegression
from sklearn.metrics import average_precision_score

from scdual.datasets import simulate
from scdual.module.map import MapCells, RegulationMap, _blocks, _start
from scdual.module.map._moments import Moments
from scdual.module.map._sparse import Products, evenly_ranked, prefers_sparse, sparse_map, sum_of_single_effects
from scdual.module.map._start import fit_values

N, G, R = 400, 30, 6
REGULATORS = torch.tensor([4, 11, 0, 25, 17, 8])
IS_PAIR = torch.arange(G)[:, None] != REGULATORS


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def genes(rng: np.random.Generator) -> np.ndarray:
    """Values ``(N, G)``, correlated regulators, each other gene decided by one of them or by two."""
    values = rng.normal(size=(N, G))
    values[:, REGULATORS] += rng.normal(size=(N, 2)) @ rng.normal(size=(2, R))
    for gene in set(range(G)) - set(REGULATORS.tolist()):
        values[:, gene] += 1.5 * values[:, REGULATORS[gene % R]]
        if gene % 2:
            values[:, gene] -= values[:, REGULATORS[(gene + 2) % R]]
    return values


def moments_of(values: np.ndarray, covariates: np.ndarray | None = None) -> Moments:
    covariates = np.ones((len(values), 1)) if covariates is None else covariates
    found = Moments(R, G, covariates.shape[1], device=torch.device("cpu"))
    given = torch.tensor(values)
    found.add(torch.tensor(covariates), given[:, REGULATORS], given)
    return found


def by_loop(v: np.ndarray, y: np.ndarray, n_effects: int) -> np.ndarray:
    """Fit single effects to the values of one target ``(N,)``, all of mean 0 and variance 1, until nothing changes."""
    n_cells, n_regulators = v.shape
    effect, square, variance, noise = np.zeros((n_effects, n_regulators)), np.zeros(n_effects), [0.2] * n_effects, 1.0
    for _ in range(500):
        for k in range(n_effects):
            left = y - v @ (effect.sum(0) - effect[k])
            estimate, error = v.T @ left / n_cells, noise / n_cells
            evidence = -np.log(n_regulators) + 0.5 * (
                np.log(error / (error + variance[k])) + estimate**2 / error - estimate**2 / (error + variance[k])
            )
            chance, share = softmax(evidence), variance[k] / (variance[k] + error)
            is_likely = logsumexp(evidence) > 0
            variance[k] = chance @ ((share * estimate) ** 2 + share * error)
            effect[k], square[k] = is_likely * chance * share * estimate, is_likely * variance[k]
        residual = y - v @ effect.sum(0)
        noise = np.clip(residual @ residual / n_cells + sum(square) - ((v @ effect.T) ** 2).mean(0).sum(), 0.01, 1)
    return effect.sum(0)


def test_it_is_the_sum_of_single_effects_of_a_loop_over_cells(genes: np.ndarray) -> None:
    standardised = (genes - genes.mean(0)) / genes.std(0)
    found = sum_of_single_effects(Products.of(moments_of(genes)), is_pair=IS_PAIR, n_effects=3).numpy()
    for gene in (1, 2, 3, 5, int(REGULATORS[0])):
        others = [i for i in range(R) if REGULATORS[i] != gene]
        expected = by_loop(standardised[:, REGULATORS[others]], standardised[:, gene], 3)
        np.testing.assert_allclose(found[gene, others], expected, atol=3e-3)


def test_a_strong_regulator_does_not_share_its_credit(genes: np.ndarray) -> None:
    found = sum_of_single_effects(Products.of(moments_of(genes)), is_pair=IS_PAIR, n_effects=4).abs()
    for gene in set(range(G)) - set(REGULATORS.tolist()):
        regulators = {gene % R, (gene + 2) % R} if gene % 2 else {gene % R}
        assert set((found[gene] > 0.05).nonzero().flatten().tolist()) == regulators
    assert not found[~IS_PAIR].any()


def test_two_regulators_that_are_the_same_share_the_credit(genes: np.ndarray) -> None:
    genes[:, REGULATORS[1]] = 2 * genes[:, REGULATORS[0]]
    found = sum_of_single_effects(Products.of(moments_of(genes)), is_pair=IS_PAIR, n_effects=4)
    torch.testing.assert_close(found[6, 0], found[6, 1])
    assert found[6, 0] > 0.2


def test_it_comes_in_the_units_of_the_values(genes: np.ndarray) -> None:
    scale = np.random.default_rng(1).uniform(0.1, 10, size=G)
    found = sparse_map(moments_of(genes), is_pair=IS_PAIR, n_effects=4)
    scaled = sparse_map(moments_of(genes * scale), is_pair=IS_PAIR, n_effects=4)
    assert 1.3 < found[6, 0] < 1.6
    np.testing.assert_allclose(scaled.numpy() * scale[REGULATORS] / scale[:, None], found, rtol=1e-6, atol=1e-9)


def test_products_are_correlations_of_what_covariates_leave(genes: np.ndarray, rng: np.random.Generator) -> None:
    covariates = np.column_stack([np.ones(N), rng.normal(size=N)])
    given = genes + covariates @ rng.normal(size=(2, G)) * 3
    given[:, 7] = given[:, REGULATORS[2]] = covariates[:, 1]  # nothing is left of these
    found = Products.of(moments_of(given, covariates))
    varies = np.setdiff1d(np.arange(G), [7, int(REGULATORS[2])])
    kept = [i for i in range(R) if i != 2]
    left = given[:, varies] - LinearRegression().fit(covariates, given[:, varies]).predict(covariates)
    places = np.searchsorted(varies, REGULATORS[kept].numpy())
    expected = np.corrcoef(left.T)[:, places]
    np.testing.assert_allclose(found.cross[varies][:, kept], expected, atol=1e-10)
    np.testing.assert_allclose(found.gram[kept][:, kept], expected[places], atol=1e-10)
    assert not found.cross[7].any()
    assert not found.cross[:, 2].any()
    weight = sparse_map(moments_of(given, covariates), is_pair=IS_PAIR, n_effects=4)
    assert torch.isfinite(weight).all()
    assert not weight[7].any()
    assert not weight[:, 2].any()


def test_what_weights_explain_is_their_squared_correlation_in_other_cells(
    genes: np.ndarray, rng: np.random.Generator
) -> None:
    weight = rng.normal(size=(G, R))
    predicted = (genes - genes.mean(0)) / genes.std(0)
    predicted = predicted[:, REGULATORS] @ weight.T
    r = np.array([np.corrcoef(predicted[:, g], genes[:, g])[0, 1] for g in range(G)])
    found = Products.of(moments_of(genes)).explained(torch.tensor(weight))
    np.testing.assert_allclose(found, np.where(r > 0, r**2, 0), atol=1e-10)
    assert not Products.of(moments_of(genes)).explained(torch.zeros(G, R).double()).any()


@pytest.mark.parametrize("n_values", [R, _blocks.BLOCK_VALUES], ids=["a gene at a time", "all at once"])
def test_order_and_blocks_of_genes_do_not_matter(
    genes: np.ndarray, n_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    products = Products.of(moments_of(genes))
    whole = sum_of_single_effects(products, is_pair=IS_PAIR, n_effects=4)
    monkeypatch.setattr(_blocks.row_blocks, "__kwdefaults__", {"n_values": n_values})
    order, places = torch.randperm(G), torch.randperm(R)
    other = products._replace(gram=products.gram[places][:, places], cross=products.cross[order][:, places])
    found = sum_of_single_effects(other, is_pair=IS_PAIR[order][:, places], n_effects=4)
    torch.testing.assert_close(found, whole[order][:, places], rtol=0, atol=1e-9)


def test_a_gene_without_a_possible_regulator_has_none(genes: np.ndarray) -> None:
    is_pair = IS_PAIR.clone()
    is_pair[5] = False
    found = sum_of_single_effects(Products.of(moments_of(genes)), is_pair=is_pair, n_effects=4)
    assert torch.isfinite(found).all()
    assert not found[5].any()


def test_targets_that_decide_are_of_all_ranks_in_any_order() -> None:
    strength = torch.rand(50)
    order = torch.randperm(50)
    found = strength[evenly_ranked(strength, 8)]
    torch.testing.assert_close(found, strength[order][evenly_ranked(strength[order], 8)])
    assert found.tolist() == sorted(found.tolist())
    assert (found[0], found[-1]) == (strength.min(), strength.max())
    assert evenly_ranked(strength, 100).sort().values.tolist() == list(range(50))


def decided(values: np.ndarray, penalty: float = 1.0) -> bool:
    halves = moments_of(values[::2]), moments_of(values[1::2])
    return prefers_sparse(halves, torch.arange(G), REGULATORS, penalty=penalty, n_effects=4)


def test_other_cells_bear_out_few_regulators_or_many(genes: np.ndarray, rng: np.random.Generator) -> None:
    assert decided(genes)
    many = rng.normal(size=(N, G))
    others = [g for g in range(G) if g not in REGULATORS]
    many[:, others] += many[:, REGULATORS] @ rng.choice([-0.3, 0.3], size=(R, len(others)))
    assert not decided(many)
    assert not decided(np.ones((N, G)))
    for n_cells in (1, 2, 3):  # of a single cell nothing is known
        assert not decided(genes[:n_cells])


def test_cells_that_were_fitted_decide_nothing(genes: np.ndarray) -> None:
    assert decided(genes[:40], penalty=1e-6)  # of cells it was fitted to, least squares explains more than any other


class Deep(NamedTuple):
    counts: np.ndarray
    regulators: list[int]
    truth: np.ndarray  # whether there is an edge, row = target


@pytest.fixture(scope="module")
def deep() -> Deep:
    """Counts of 60 molecules per gene, one to two regulators each."""
    adata = simulate(600, 60, n_regulators=8, edges_per_target=(1, 2), library_size=3_600, seed=1)
    regulators = np.flatnonzero(adata.var["regulator"])
    return Deep(adata.X.toarray(), regulators.tolist(), adata.varp["true_regulation"].toarray()[regulators].T != 0)


def cells_of(counts: np.ndarray, n_per_batch: int = 128) -> list[MapCells]:
    return [MapCells(part, torch.ones(len(part), 1)) for part in torch.tensor(counts).float().split(n_per_batch)]


def is_sparse(counts: np.ndarray, regulators: list[int]) -> bool:
    found = RegulationMap(counts.shape[1], regulators=regulators)
    return fit_values(found.values, found.hiding, found.expr_embedding, cells_of(counts), found.settings).is_sparse


def learnt(counts: np.ndarray, regulators: list[int], n_per_batch: int) -> torch.Tensor:
    found = RegulationMap(counts.shape[1], regulators=regulators)
    found.fit(cells_of(counts, n_per_batch))
    return found.known.weight


def test_deep_cells_have_a_sparse_map_whatever_their_order(deep: Deep) -> None:
    counts, regulators, _ = deep
    assert is_sparse(counts, regulators)
    rng = np.random.default_rng(2)
    cells, genes = rng.permutation(len(counts)), rng.permutation(counts.shape[1])
    moved = [int(np.flatnonzero(genes == regulator)[0]) for regulator in regulators]
    found = learnt(counts[cells][:, genes], moved, n_per_batch=77)
    torch.testing.assert_close(found, learnt(counts, regulators, 128)[genes], rtol=1e-3, atol=1e-4)


def test_a_sparse_map_finds_more_of_a_sparse_network(deep: Deep, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, regulators, truth = deep
    with_sparse = average_precision_score(truth.ravel(), learnt(counts, regulators, 128).abs().ravel())
    monkeypatch.setattr(_start, "prefers_sparse", lambda *_, **__: False)
    without = average_precision_score(truth.ravel(), learnt(counts, regulators, 128).abs().ravel())
    assert with_sparse > without + 0.02


def test_only_pairs_that_are_known_are_regressed(deep: Deep, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(moments: Moments, *, is_pair: torch.Tensor, n_effects: int) -> torch.Tensor:
        seen.append(is_pair)
        return sparse_map(moments, is_pair=is_pair, n_effects=n_effects)

    monkeypatch.setattr(_start, "sparse_map", spy)
    counts = deep.counts.copy()
    counts[2:, deep.regulators[3]] = 0  # seen in two cells, three are needed
    learnt(counts, deep.regulators, 128)
    expected = np.arange(counts.shape[1])[:, None] != deep.regulators
    expected[:, 3] = expected[deep.regulators[3]] = False
    expected[deep.regulators[3]] = np.arange(len(deep.regulators)) != 3
    np.testing.assert_array_equal(seen[0], expected)


def test_nothing_bears_out_few_regulators_of_permuted_genes(deep: Deep) -> None:
    assert not is_sparse(np.random.default_rng(3).permuted(deep.counts, axis=0), deep.regulators)
