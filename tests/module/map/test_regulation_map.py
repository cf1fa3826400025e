"""The map keeps its promises at the level of counts: leave-one-out, covariates, orientation, gradients, priors.

Dimension key
    B  cells      G  genes      R  regulators      T  targets      U  covariates
"""

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scdual.module.map import Hidden, MapCells, RegulationMap
from scdual.nn import GeneBranch

B, G = 5, 13
REGULATORS = [9, 2, 5, 0]
R = len(REGULATORS)
N_BATCH, N_CATEGORIES = 2, 3
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
LAYERS = [1, 2, 3]
ALL_GENES = torch.arange(G)


def build_map(**kwargs: Any) -> RegulationMap:
    """Return an untrained map in training mode, all sizes explicit."""
    sizes = {"n_layers": 1, "n_embed": 8, "n_heads": 2, "n_bins": 4, "n_categories": [N_BATCH]}
    weights = {"regulation_weight": 1.0, "sparsity_weight": 0.1, "prior_weight": 1.0, "denoised_weight": 0.5}
    shares = {"visible_share": 0.5, "target_share": 0.4}
    return RegulationMap(G, **(sizes | weights | shares | {"regulators": REGULATORS} | kwargs))


def prepare(regulation_map: RegulationMap, cells: MapCells) -> RegulationMap:
    """Return the map in evaluation mode, with a scale and with weights under which every path matters."""
    regulation_map.fit([cells])
    for name, parameter in regulation_map.named_parameters():
        nn.init.normal_(parameter, std=1.0 if name.startswith("gate") else 0.4)
    return regulation_map.eval()


def draw_cells(n_cells: int) -> MapCells:
    depth = torch.rand(n_cells, 1) + 0.5
    counts = torch.poisson(torch.rand(n_cells, 3) @ torch.rand(3, G) * 5 * depth)
    return MapCells(counts, F.one_hot(torch.randint(N_BATCH, (n_cells,)), N_BATCH).float())


@pytest.fixture
def cells() -> MapCells:
    return draw_cells(60)


@pytest.fixture
def some() -> MapCells:
    return draw_cells(B)


@pytest.fixture
def fitted(cells: MapCells) -> RegulationMap:
    return prepare(build_map(), cells)


@pytest.fixture
def prior_strength() -> torch.Tensor:
    """One edge into each of three targets."""
    strength = torch.zeros(G, R)
    strength[[1, 5, 12], [0, 1, 3]] = 0.8
    return strength


def change_counts(cells: MapCells, gene: int) -> MapCells:
    counts = cells.counts.clone()
    counts[:, gene] = counts[:, gene] * 3 + 20
    return cells._replace(counts=counts)


def rows(cells: MapCells, index: list[int]) -> MapCells:
    return MapCells(cells.counts[index], cells.covariates[index])


# ---- leave-one-out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", LAYERS)
@pytest.mark.parametrize("denoised_weight", [0.0, 1.0])
@pytest.mark.parametrize("gene", [9, 0, 4])
def test_counts_of_a_target_do_not_move_its_prediction(
    cells: MapCells, some: MapCells, n_layers: int, denoised_weight: float, gene: int
) -> None:
    fitted = prepare(build_map(n_layers=n_layers, denoised_weight=denoised_weight), cells)
    hidden = Hidden(torch.tensor([gene, 1, 2, 7]), torch.ones(1, R, dtype=torch.bool))
    before = fitted.predict(some, hidden)
    difference = (fitted.predict(change_counts(some, gene), hidden) - before).abs().amax(0)
    assert difference[0] < 1e-6
    if gene in REGULATORS:
        assert (difference[1:] > 1e-4).all()
    else:
        assert (difference[1:] < 1e-6).all()  # neither library size nor denoising tells the others


@pytest.mark.parametrize("n_layers", LAYERS)
def test_genes_that_are_no_targets_move_predictions(cells: MapCells, some: MapCells, n_layers: int) -> None:
    fitted = prepare(build_map(n_layers=n_layers), cells)
    hidden = Hidden(torch.tensor([9, 1, 2, 7]), torch.ones(1, R, dtype=torch.bool))
    for gene in (5, 6):  # a regulator, and a gene that denoises regulators
        change = fitted.predict(change_counts(some, gene), hidden) - fitted.predict(some, hidden)
        assert (change.abs().amax(0) > 1e-4).all()


@pytest.mark.parametrize("n_layers", LAYERS)
def test_hidden_regulators_do_not_move_predictions(cells: MapCells, some: MapCells, n_layers: int) -> None:
    fitted = prepare(build_map(n_layers=n_layers, denoised_weight=0.0), cells)
    target = torch.tensor([2, 7, 9, 5, 0])  # all regulators among them, so none counts towards the library size
    visible = torch.tensor([[False, True, True, True]])
    before = fitted.predict(some, Hidden(target, visible))
    after = fitted.predict(change_counts(some, REGULATORS[0]), Hidden(target, visible))
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("n_layers", LAYERS)
def test_other_cells_of_the_minibatch_do_not_matter(cells: MapCells, some: MapCells, n_layers: int) -> None:
    fitted = prepare(build_map(n_layers=n_layers), cells)
    hidden = fitted.hiding.fixed()
    prediction, values = fitted.predict(some, hidden), fitted.regulator_values(fitted.values.log_expr(some))
    for b in range(B):
        alone = rows(some, [b])
        torch.testing.assert_close(fitted.predict(alone, hidden)[0], prediction[b], **CLOSE)
        found = fitted.regulator_values(fitted.values.log_expr(alone))
        torch.testing.assert_close(found.value[0], values.value[b], **CLOSE)


def test_covariates_and_depth_shift_predictions(cells: MapCells, some: MapCells) -> None:
    """Columns: two batches, three categories, one continuous covariate; depth comes last."""

    def with_more(cells: MapCells) -> MapCells:
        n_cells = len(cells.counts)
        category = F.one_hot(torch.randint(N_CATEGORIES, (n_cells,)), N_CATEGORIES).float()
        return cells._replace(covariates=torch.cat([cells.covariates, category, torch.randn(n_cells, 1)], dim=1))

    built = build_map(n_categories=[N_BATCH, N_CATEGORIES], n_continuous=1)
    fitted, some = prepare(built, with_more(cells)), with_more(some)
    hidden = fitted.hiding.fixed()
    found = fitted.predict(some, hidden)
    effects, target = fitted.regulation_decoder.effects, hidden.target
    of_batch, of_category, slope = (table.detach().clone() for table in (*effects.categorical, effects.continuous))
    for table in effects.parameters():
        nn.init.zeros_(table)
    without = fitted.predict(some, hidden)
    depth = fitted.values.scale.depth(some.counts, target) @ slope[1:]
    for b in range(B):
        batch, category = int(some.covariates[b, :2].argmax()), int(some.covariates[b, 2:5].argmax())
        expected = of_batch[batch] + of_category[category] + depth[b] + some.covariates[b, 5] * slope[0]
        torch.testing.assert_close(found[b] - without[b], expected[target], **CLOSE)


# ---- objective --------------------------------------------------------------------------------------------------------


def test_objective_is_the_sum_of_its_parts_over_genes(fitted: RegulationMap, some: MapCells) -> None:
    objective, parts = fitted.objective(some)
    torch.testing.assert_close(objective, G * (0.5 * parts["regulation_loss"] + 0.1 * parts["edge_sparsity"]))
    assert set(parts) == {"regulation_loss", "edge_sparsity"}  # without a prior there is no disagreement


def test_regulation_loss_is_the_error_on_the_fixed_targets(fitted: RegulationMap, some: MapCells) -> None:
    hidden = fitted.hiding.fixed()
    log_expr = fitted.values.log_expr(some, hidden.target)
    error = fitted.predict(some, hidden) - fitted.values.of_targets(log_expr, hidden.target)
    found = fitted.objective(some)[1]["regulation_loss"]
    np.testing.assert_allclose(found.item(), (error.detach().numpy() ** 2).mean(), rtol=1e-5)


def test_what_is_hidden_is_random_only_while_training(fitted: RegulationMap, some: MapCells) -> None:
    assert len({fitted.objective(some)[0].item() for _ in range(5)}) == 1
    fitted.train()
    assert len({fitted.objective(some)[1]["regulation_loss"].item() for _ in range(5)}) > 1
    target, visible = fitted.hiding.draw(400)
    assert len(target) == len(set(target.tolist())) == round(0.4 * G)
    assert abs(visible.float().mean() - 0.5) < 0.05


def test_gradients_reach_every_parameter(cells: MapCells, some: MapCells) -> None:
    fitted = prepare(build_map(n_layers=2), cells).train()
    fitted.objective(some)[0].backward()
    assert all(parameter.grad is not None for parameter in fitted.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in fitted.parameters())


# ---- genes ------------------------------------------------------------------------------------------------------------


def test_maps_have_targets_as_rows_and_regulators_as_columns(fitted: RegulationMap, some: MapCells) -> None:
    values = fitted.regulator_values(fitted.values.log_expr(some))
    maps = fitted.maps(values, ALL_GENES)
    self_edges = sorted([gene, i] for i, gene in enumerate(REGULATORS))
    for part in (maps.regulation, maps.attention):
        assert part.shape == (G, R)
        assert (part == 0).nonzero().tolist() == self_edges
    two = torch.tensor([7, 2])
    torch.testing.assert_close(fitted.maps(values, two).regulation, maps.regulation[two], **CLOSE)
    torch.testing.assert_close(fitted.gate_of(two), maps.gate[two], **CLOSE)


def test_without_a_list_all_genes_are_regulators() -> None:
    built = build_map(regulators=None)
    assert built.regulator_index.tolist() == list(range(G))
    assert built.gate.pair_offset.shape == (G, G)


def test_regulator_values_are_mixed_values_and_bins_of_the_counts(fitted: RegulationMap, some: MapCells) -> None:
    scale = fitted.values.scale
    log_expr = scale.log_expr(some.counts)
    found = fitted.regulator_values(log_expr)
    assert torch.equal(found.state, fitted.expr_embedding.state_of(log_expr)[:, REGULATORS])
    observed = scale.rank_score(log_expr, ALL_GENES)[:, REGULATORS]
    torch.testing.assert_close(found.value, fitted.values.mixture(observed, scale.standardise(log_expr)))


@pytest.fixture
def gene_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one entry with each pass of the gene branch."""
    passes, forward = [], GeneBranch.forward

    def spy(branch: GeneBranch, *args: Any) -> torch.Tensor:
        passes.append(1)
        return forward(branch, *args)

    monkeypatch.setattr(GeneBranch, "forward", spy)
    return passes


def test_gene_state_is_computed_once_at_inference(
    fitted: RegulationMap, some: MapCells, gene_passes: list[int]
) -> None:
    gene_passes.clear()
    with torch.inference_mode():
        for _ in range(3):
            fitted.maps(fitted.regulator_values(fitted.values.log_expr(some)), ALL_GENES)
    assert len(gene_passes) == 1


def test_gene_state_is_computed_once_in_a_training_step(
    fitted: RegulationMap, some: MapCells, gene_passes: list[int]
) -> None:
    fitted.train()
    for step in (1, 2):
        fitted.objective(some)[0].backward()
        assert len(gene_passes) == step


def test_gene_state_is_never_kept_outside_of_inference(fitted: RegulationMap, gene_passes: list[int]) -> None:
    with torch.inference_mode():
        fitted.gene_state()
    gene_passes.clear()
    fitted.gene_state().sum().backward()  # gradients need a state of their own
    assert len(gene_passes) == 1
    fitted.train()
    with torch.inference_mode():
        fitted.gene_state()
        fitted.gene_state()
    assert len(gene_passes) == 3


def test_gene_state_follows_new_weights(fitted: RegulationMap) -> None:
    state = copy.deepcopy(fitted.state_dict())
    with torch.inference_mode():
        before = fitted.gene_state()
    nn.init.normal_(fitted.gene_embedding.weight)
    fitted.train()
    fitted.eval()
    with torch.inference_mode():
        assert not torch.allclose(fitted.gene_state(), before)
    fitted.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(fitted.gene_state(), before)
    fitted.double()
    with torch.inference_mode():
        assert fitted.gene_state().dtype == torch.float64


# ---- prior and scale --------------------------------------------------------------------------------------------------


def test_prior_raises_attention_on_its_edges(cells: MapCells, some: MapCells, prior_strength: torch.Tensor) -> None:
    fitted = prepare(build_map(prior_strength=prior_strength, prior_sign=torch.zeros(G, R)), cells)
    fitted.prior_strength.copy_(prior_strength)  # full trust
    values = fitted.regulator_values(fitted.values.log_expr(some))
    told = fitted.maps(values, ALL_GENES)
    fitted.prior_weight = 0.0
    change = told.attention - fitted.maps(values, ALL_GENES).attention
    self_edges = ~fitted.keep_mask(ALL_GENES)
    has_edge = prior_strength.sum(1) > 0
    assert (change[(prior_strength > 0) & ~self_edges] > 0.01).all()
    assert (change[has_edge[:, None] & (prior_strength == 0) & ~self_edges] < 0).all()
    torch.testing.assert_close(change[~has_edge], torch.zeros(int((~has_edge).sum()), R))


@pytest.mark.parametrize("prior_weight", [0.0, 2.0])
def test_disagreement_with_the_prior_enters_the_objective(
    cells: MapCells, some: MapCells, prior_strength: torch.Tensor, prior_weight: float
) -> None:
    prior = {"prior_strength": prior_strength, "prior_sign": torch.ones(G, R), "prior_weight": prior_weight}
    fitted = prepare(build_map(**prior, target_share=1.0), cells)
    fitted.prior_strength.copy_(0.5 * prior_strength)  # half the trust
    gate = fitted.gate_of(ALL_GENES).detach()
    fitted.prior_sign.copy_(-gate.sign())
    fitted.prior_sign[5, 1] *= -1  # two of the three edges are contradicted
    objective, parts = fitted.objective(some)
    expected = 0.4 * gate[[1, 12], [0, 3]].abs().sum() / 3
    assert expected > 0
    torch.testing.assert_close(parts["prior_disagreement"], expected)
    penalty = 0.5 * parts["regulation_loss"] + 0.1 * parts["edge_sparsity"] + prior_weight * expected
    torch.testing.assert_close(objective, G * penalty)


def test_all_that_was_fitted_is_saved_and_loaded(fitted: RegulationMap, some: MapCells) -> None:
    other = build_map()
    assert not other.is_fitted
    other.load_state_dict(fitted.state_dict())
    assert other.is_fitted
    other.eval()
    expected = fitted.predict(some, fitted.hiding.fixed())
    torch.testing.assert_close(other.predict(some, other.hiding.fixed()), expected)


def test_what_is_fitted_does_not_depend_on_minibatches(cells: MapCells) -> None:
    one = build_map()
    other = copy.deepcopy(one)
    one.fit([cells])
    other.fit([rows(cells, list(range(start, min(start + 7, 60)))) for start in range(0, 60, 7)])
    expected = dict(one.named_buffers())
    for name, buffer in other.named_buffers():
        torch.testing.assert_close(buffer, expected[name], **CLOSE)
