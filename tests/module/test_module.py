"""The module keeps its promises at the level of counts: leave-one-out, likelihoods, invariances, gradients.

Dimension key
    B  cells      G  genes      R  regulators      T  targets      Z  latent dimensions
"""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scvi import REGISTRY_KEYS
from scvi.module.base import LossOutput
from torch import nn
from torch.distributions import Normal

from scdual.module import Hidden, SCDualModule
from scdual.nn import GeneBranch

B, G, Z = 5, 13, 3  # no other size equals G
REGULATORS = [9, 2, 5, 0]
R = len(REGULATORS)
N_BATCH, CATEGORIES, N_CONTINUOUS = 2, [3], 1
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
LAYERS = [1, 2, 3]
LIKELIHOODS = ["nb", "zinb", "poisson"]
ALL_GENES = torch.arange(G)
Tensors = dict[str, torch.Tensor]


def build_module(**kwargs: Any) -> SCDualModule:
    """Return an untrained module in training mode, all sizes explicit."""
    sizes = {"n_input": G, "n_hidden": 16, "n_latent": Z, "n_layers": 1, "n_embed": 8, "n_heads": 2, "n_pool": 3}
    weights = {"regulation_weight": 1.0, "sparsity_weight": 0.1, "prior_weight": 1.0, "denoised_weight": 0.5}
    shares = {"dropout_rate": 0.1, "visible_share": 0.5, "target_share": 0.4, "n_bins": 4}
    return SCDualModule(**(sizes | weights | shares | {"regulators": REGULATORS, "n_batch": N_BATCH} | kwargs))


def prepare(module: SCDualModule, cells: Tensors) -> SCDualModule:
    """Return the module in evaluation mode, with a scale and with weights under which every path matters."""
    module.fit_scale([cells])
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, std=1.0 if name.startswith("gate") else 0.4)
    return module.eval()


def draw_tensors(n_cells: int) -> Tensors:
    depth = torch.rand(n_cells, 1) + 0.5
    return {
        REGISTRY_KEYS.X_KEY: torch.poisson(torch.rand(n_cells, 3) @ torch.rand(3, G) * 5 * depth),
        REGISTRY_KEYS.BATCH_KEY: torch.randint(N_BATCH, (n_cells, 1)),
        REGISTRY_KEYS.LABELS_KEY: torch.zeros(n_cells, 1, dtype=torch.int64),
    }


@pytest.fixture
def cells() -> Tensors:
    return draw_tensors(60)


@pytest.fixture
def tensors() -> Tensors:
    return draw_tensors(B)


@pytest.fixture
def module(cells: Tensors) -> SCDualModule:
    return prepare(build_module(), cells)


@pytest.fixture
def prior_strength() -> torch.Tensor:
    """One edge into each of three targets."""
    strength = torch.zeros(G, R)
    strength[[1, 5, 12], [0, 1, 3]] = 0.8
    return strength


def change_counts(tensors: Tensors, gene: int) -> Tensors:
    x = tensors[REGISTRY_KEYS.X_KEY].clone()
    x[:, gene] = x[:, gene] * 3 + 20
    return tensors | {REGISTRY_KEYS.X_KEY: x}


def rows(tensors: Tensors, index: list[int]) -> Tensors:
    return {key: value[index] for key, value in tensors.items()}


def posterior_of(module: SCDualModule, tensors: Tensors) -> Normal:
    return module.inference(**module._get_inference_input(tensors))["qz"]


def loss_of(module: SCDualModule, tensors: Tensors, **kwargs: Any) -> LossOutput:
    return module(tensors, loss_kwargs=kwargs)[2]


# ---- leave-one-out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", LAYERS)
@pytest.mark.parametrize("denoised_weight", [0.0, 1.0])
@pytest.mark.parametrize("gene", [9, 0, 4])
def test_counts_of_a_target_do_not_move_its_prediction(
    cells: Tensors, tensors: Tensors, n_layers: int, denoised_weight: float, gene: int
) -> None:
    module = prepare(build_module(n_layers=n_layers, denoised_weight=denoised_weight), cells)
    hidden = Hidden(torch.tensor([gene, 1, 2, 7]), torch.ones(1, R, dtype=torch.bool))
    before = module.predict_targets(tensors, hidden)
    difference = (module.predict_targets(change_counts(tensors, gene), hidden) - before).abs().amax(0)
    assert difference[0] < 1e-6
    if gene in REGULATORS:
        assert (difference[1:] > 1e-4).all()
    else:
        assert (difference[1:] < 1e-6).all()  # neither library size nor denoising tells the others


@pytest.mark.parametrize("n_layers", LAYERS)
def test_genes_that_are_no_targets_move_predictions(cells: Tensors, tensors: Tensors, n_layers: int) -> None:
    module = prepare(build_module(n_layers=n_layers), cells)
    hidden = Hidden(torch.tensor([9, 1, 2, 7]), torch.ones(1, R, dtype=torch.bool))
    for gene in (5, 6):  # a regulator, and a gene that denoises regulators
        change = module.predict_targets(change_counts(tensors, gene), hidden) - module.predict_targets(tensors, hidden)
        assert (change.abs().amax(0) > 1e-4).all()


@pytest.mark.parametrize("n_layers", LAYERS)
def test_hidden_regulators_do_not_move_predictions(cells: Tensors, tensors: Tensors, n_layers: int) -> None:
    module = prepare(build_module(n_layers=n_layers, denoised_weight=0.0), cells)
    target = torch.tensor([2, 7, 9, 5, 0])  # all regulators among them, so none counts towards the library size
    visible = torch.tensor([[False, True, True, True]])
    before = module.predict_targets(tensors, Hidden(target, visible))
    after = module.predict_targets(change_counts(tensors, REGULATORS[0]), Hidden(target, visible))
    torch.testing.assert_close(after, before)


def test_covariates_enter_predictions_as_one_hot_columns(cells: Tensors, tensors: Tensors) -> None:
    more = {
        REGISTRY_KEYS.CAT_COVS_KEY: torch.randint(CATEGORIES[0], (60, 1)),
        REGISTRY_KEYS.CONT_COVS_KEY: torch.randn(60, N_CONTINUOUS),
    }
    module = prepare(build_module(n_cats_per_cov=CATEGORIES, n_continuous_cov=N_CONTINUOUS), cells | more)
    tensors = tensors | rows(more, list(range(B)))
    found = module.predict_targets(tensors, module.hiding.fixed())
    effects, target = module.regulation_decoder.effects, module.hiding.fixed().target
    of_batch, of_category, slope = (table.detach().clone() for table in (*effects.categorical, effects.continuous))
    for table in effects.parameters():
        nn.init.zeros_(table)
    without = module.predict_targets(tensors, module.hiding.fixed())
    depth = module.scale.depth(tensors[REGISTRY_KEYS.X_KEY], target) @ slope[N_CONTINUOUS:]
    for b in range(B):
        batch, category = (int(tensors[key][b]) for key in (REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.CAT_COVS_KEY))
        expected = of_batch[batch] + of_category[category] + depth[b]
        expected = expected + tensors[REGISTRY_KEYS.CONT_COVS_KEY][b, 0] * slope[0]
        torch.testing.assert_close(found[b] - without[b], expected[target], **CLOSE)
    assert torch.isfinite(loss_of(module, tensors).loss)


# ---- loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradients_reach_every_parameter_in_use(cells: Tensors, tensors: Tensors, likelihood: str) -> None:
    module = prepare(build_module(n_layers=2, gene_likelihood=likelihood), cells).train()
    loss_of(module, tensors).loss.backward()
    unused = {"cell_state.decoder.log_inverse_dispersion"} if likelihood == "poisson" else set()
    assert {name for name, p in module.named_parameters() if p.grad is None} == unused
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_fresh_module_starts_to_learn(cells: Tensors, tensors: Tensors) -> None:
    module = build_module()
    module.fit_scale([cells])
    loss_of(module, tensors).loss.backward()
    latent_mean = "cell_state.posterior.mean_proj.weight"
    for name in ("gate.target_proj.weight", "gate.pair_offset", "gene_embedding.weight", latent_mean):
        assert module.get_parameter(name).grad.abs().sum() > 0


def test_loss_is_the_sum_of_its_parts(module: SCDualModule, tensors: Tensors) -> None:
    out = loss_of(module, tensors, kl_weight=0.3)
    elbo = torch.stack(list(out.reconstruction_loss.values())) + 0.3 * out.kl_local["kl_divergence_z"]
    extra = out.extra_metrics
    penalty = 0.5 * extra["regulation_loss"] + 0.1 * extra["edge_sparsity"]
    torch.testing.assert_close(out.loss, elbo.mean() + G * penalty)


def test_regulation_loss_is_the_error_on_the_fixed_targets(module: SCDualModule, tensors: Tensors) -> None:
    hidden = module.hiding.fixed()
    log_expr = module.scale.log_expr(tensors[REGISTRY_KEYS.X_KEY], hidden.target)
    error = module.predict_targets(tensors, hidden) - module.target_values(log_expr, hidden.target)
    found = loss_of(module, tensors).extra_metrics["regulation_loss"]
    np.testing.assert_allclose(found.item(), (error.detach().numpy() ** 2).mean(), rtol=1e-5)


def test_kl_divergence_agrees_with_its_closed_form(module: SCDualModule, tensors: Tensors) -> None:
    inference, _, out = module(tensors)
    mean, var = inference["qz"].mean, inference["qz"].variance
    expected = 0.5 * (mean.square() + var - var.log() - 1).sum(1)
    torch.testing.assert_close(out.kl_local["kl_divergence_z"], expected, **CLOSE)


def test_kl_weight_scales_the_kl_divergence_only(module: SCDualModule, tensors: Tensors) -> None:
    inference, generative, _ = module(tensors)
    without, half, full = (module.loss(tensors, inference, generative, kl_weight=w) for w in (0.0, 0.5, 1.0))
    kl = full.kl_local["kl_divergence_z"].mean()
    torch.testing.assert_close(full.loss - without.loss, kl, **CLOSE)
    torch.testing.assert_close(half.loss - without.loss, kl / 2, **CLOSE)


def test_only_the_sample_of_the_latent_state_is_random_at_evaluation(module: SCDualModule, tensors: Tensors) -> None:
    inference, generative, _ = module(tensors)
    first, second = (module.loss(tensors, inference, generative) for _ in range(2))
    assert torch.equal(first.loss, second.loss)
    assert torch.equal(posterior_of(module, tensors).mean, inference["qz"].mean)


def test_what_is_hidden_is_random_only_while_training(module: SCDualModule, tensors: Tensors) -> None:
    module.train()
    losses = {loss_of(module, tensors).extra_metrics["regulation_loss"].item() for _ in range(5)}
    assert len(losses) > 1
    target, visible = module.hiding.draw(400)
    assert len(target) == len(set(target.tolist())) == round(0.4 * G)
    assert abs(visible.float().mean() - 0.5) < 0.05


def test_autotune_payload_holds_the_latent_state(cells: Tensors, tensors: Tensors) -> None:
    module = prepare(build_module(extra_payload_autotune=True), cells)
    extra = loss_of(module, tensors).extra_metrics
    assert extra["z"].shape == (B, Z)
    assert extra["batch"] is tensors[REGISTRY_KEYS.BATCH_KEY]
    assert extra["labels"] is tensors[REGISTRY_KEYS.LABELS_KEY]


# ---- likelihoods ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_likelihood_agrees_with_scipy(cells: Tensors, tensors: Tensors, likelihood: str) -> None:
    module = prepare(build_module(gene_likelihood=likelihood), cells)
    inference, generative, out = module(tensors)
    x = tensors[REGISTRY_KEYS.X_KEY].double().numpy()
    decoder = module.cell_state.decoder
    hidden = decoder.norm(decoder.latent_proj(inference["z"]) + decoder.effects(module.covariates(tensors))).relu()
    mu = decoder.proportion_proj(hidden).softmax(-1).detach().double().numpy() * x.sum(1, keepdims=True)
    theta = decoder.log_inverse_dispersion[0].detach().double().exp().numpy()
    expected = (
        stats.poisson(mu).logpmf(x) if likelihood == "poisson" else stats.nbinom(theta, theta / (theta + mu)).logpmf(x)
    )
    if likelihood == "zinb":
        zero = decoder.zero_proj(hidden).detach().double().sigmoid().numpy()
        expected = np.log(zero * (x == 0) + (1 - zero) * np.exp(expected))
    np.testing.assert_allclose(generative["px"].log_prob(torch.as_tensor(x)).detach(), expected, rtol=1e-3, atol=1e-4)
    found = out.reconstruction_loss["reconstruction_loss"].detach()
    np.testing.assert_allclose(found, -expected.sum(1), rtol=1e-3)


def test_size_factor_replaces_library_size(cells: Tensors, tensors: Tensors) -> None:
    module = prepare(build_module(use_size_factor_key=True), cells)
    size_factor = torch.rand(B, 1) + 0.5
    mean = module(tensors | {REGISTRY_KEYS.SIZE_FACTOR_KEY: size_factor})[1]["px"].mean
    torch.testing.assert_close(mean.sum(1, keepdim=True), size_factor)
    library_size = tensors[REGISTRY_KEYS.X_KEY].sum(1)
    torch.testing.assert_close(module(tensors)[1]["px"].mean.sum(1), library_size)


def test_transform_batch_decodes_as_if_in_that_batch(module: SCDualModule, tensors: Tensors) -> None:
    inference, _ = module(tensors, compute_loss=False)
    z, library, covariates = inference["z"], inference["library"], module.covariates(tensors)
    found = module.generative(z, library, covariates, transform_batch=1)["px"].mean
    there = torch.tensor([[0.0, 1.0]]).expand(B, -1)
    torch.testing.assert_close(found, module.generative(z, library, there)["px"].mean)
    assert not torch.allclose(found, module.generative(z, library, covariates)["px"].mean)


@pytest.mark.parametrize("dispersion", ["gene-batch", "gene-label", "gene-cell"])
def test_groups_of_cells_have_dispersions_of_their_own(cells: Tensors, tensors: Tensors, dispersion: str) -> None:
    module = prepare(build_module(dispersion=dispersion, n_labels=3), cells)
    labels = torch.arange(B)[:, None] % 3
    tensors = tensors | {REGISTRY_KEYS.LABELS_KEY: labels}
    _, generative = module(tensors, compute_loss=False)
    theta = generative["px"].theta
    group = {
        "gene-batch": tensors[REGISTRY_KEYS.BATCH_KEY].squeeze(1),
        "gene-label": labels.squeeze(1),
        "gene-cell": torch.arange(B),
    }[dispersion]
    for first in range(B):
        for second in range(B):
            assert torch.equal(theta[first], theta[second]) == bool(group[first] == group[second])


def test_a_learnt_vector_can_stand_for_the_batch(cells: Tensors, tensors: Tensors) -> None:
    embedded = {"batch_representation": "embedding", "batch_embedding_kwargs": {"embedding_dim": 4}}
    module = prepare(build_module(**embedded), cells)
    vectors = module.get_embedding(REGISTRY_KEYS.BATCH_KEY).weight
    assert vectors.shape == (N_BATCH, 4)
    before = loss_of(module, tensors).reconstruction_loss["reconstruction_loss"]
    nn.init.zeros_(vectors)
    assert not torch.allclose(loss_of(module, tensors).reconstruction_loss["reconstruction_loss"], before)


def test_encoder_and_decoder_know_the_batch(module: SCDualModule, tensors: Tensors) -> None:
    elsewhere = tensors | {REGISTRY_KEYS.BATCH_KEY: 1 - tensors[REGISTRY_KEYS.BATCH_KEY]}
    assert not torch.allclose(posterior_of(module, elsewhere).mean, posterior_of(module, tensors).mean)


def test_samples_follow_the_predicted_counts(cells: Tensors, tensors: Tensors) -> None:
    module = prepare(build_module(gene_likelihood="poisson"), cells)
    nn.init.constant_(module.cell_state.posterior.log_var_proj.bias, -30.0)  # the latent state hardly varies
    nn.init.zeros_(module.cell_state.posterior.log_var_proj.weight)
    counts = module.sample(tensors, n_samples=3000)
    assert counts.shape == (B, G, 3000)
    mean = module(tensors, compute_loss=False)[1]["px"].mean.detach()
    np.testing.assert_allclose(counts.mean(-1), mean, rtol=0.15, atol=0.1)
    np.testing.assert_allclose(counts.var(-1), mean, rtol=0.25, atol=0.15)
    moved = module.sample(tensors, generative_kwargs={"transform_batch": 1})
    assert moved.shape == (B, G)


def test_labels_reach_the_latent_state_only_if_they_are_meant_to(cells: Tensors, tensors: Tensors) -> None:
    labelled = tensors | {REGISTRY_KEYS.LABELS_KEY: torch.tensor([[0], [1], [2], [1], [0]])}
    for weight in (0.0, 5.0):
        module = prepare(build_module(n_labels=3, classification_weight=weight), cells)
        out = loss_of(module, labelled)
        out.extra_metrics["classification_loss"].backward()
        assert module.classifier.weight.grad.abs().sum() > 0
        reached = module.cell_state.posterior.mean_proj.weight.grad is not None
        assert reached == (weight > 0)


def test_probabilities_of_labels_leave_out_the_unlabelled(cells: Tensors, tensors: Tensors) -> None:
    module = prepare(build_module(n_labels=4, has_unlabeled=True), cells)
    found = module.classify(tensors)
    logits = module.classifier(posterior_of(module, tensors).loc)
    torch.testing.assert_close(found, logits.softmax(-1))
    assert found.shape == (B, 3)


def test_several_samples_have_a_leading_dimension(cells: Tensors, tensors: Tensors) -> None:
    cont_covs = torch.randn(60, N_CONTINUOUS)
    module = prepare(build_module(n_continuous_cov=N_CONTINUOUS), cells | {REGISTRY_KEYS.CONT_COVS_KEY: cont_covs})
    tensors = tensors | {REGISTRY_KEYS.CONT_COVS_KEY: cont_covs[:B]}
    inference, generative = module(tensors, inference_kwargs={"n_samples": 6}, compute_loss=False)
    assert inference["z"].shape == (6, B, Z)
    assert generative["px"].mean.shape == (6, B, G)


# ---- odd minibatches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("training", [False, True])
def test_cells_without_counts_are_finite(cells: Tensors, tensors: Tensors, likelihood: str, training: bool) -> None:
    module = prepare(build_module(n_layers=2, gene_likelihood=likelihood), cells).train(training)
    for empty in ([0], list(range(B))):
        x = tensors[REGISTRY_KEYS.X_KEY].index_fill(0, torch.tensor(empty), 0)
        loss = loss_of(module, tensors | {REGISTRY_KEYS.X_KEY: x}).loss
        loss.backward()
        assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_last_minibatch_of_one_cell_trains(module: SCDualModule, tensors: Tensors) -> None:
    module.train()
    loss = loss_of(module, rows(tensors, [0])).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


@pytest.mark.parametrize("n_layers", LAYERS)
def test_other_cells_of_the_minibatch_do_not_matter(cells: Tensors, tensors: Tensors, n_layers: int) -> None:
    module = prepare(build_module(n_layers=n_layers), cells)
    posterior, hidden = posterior_of(module, tensors), module.hiding.fixed()
    prediction, values = module.predict_targets(tensors, hidden), module.regulator_values(tensors)
    for b in range(B):
        alone = rows(tensors, [b])
        torch.testing.assert_close(posterior_of(module, alone).mean[0], posterior.mean[b], **CLOSE)
        torch.testing.assert_close(module.predict_targets(alone, hidden)[0], prediction[b], **CLOSE)
        torch.testing.assert_close(module.regulator_values(alone).value[0], values.value[b], **CLOSE)


def test_sparse_minibatches_give_the_same_loss(module: SCDualModule, tensors: Tensors) -> None:
    inference, generative, dense = module(tensors)
    sparse = tensors | {REGISTRY_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY].to_sparse()}
    torch.testing.assert_close(module.loss(sparse, inference, generative).loss, dense.loss)
    found = posterior_of(module, sparse).mean
    torch.testing.assert_close(found, inference["qz"].mean)


# ---- genes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", LAYERS)
def test_order_of_genes_does_not_matter(
    cells: Tensors, tensors: Tensors, prior_strength: torch.Tensor, n_layers: int
) -> None:
    sizes = {"n_layers": n_layers, "prior_sign": torch.zeros(G, R)}
    module = prepare(build_module(prior_strength=prior_strength, **sizes), cells)
    order = torch.randperm(G)
    state = module.state_dict()
    for name, tensor in state.items():
        for axis, size in enumerate(tensor.shape):
            if size == G:  # also the principal components, in whose order nothing lies
                state[name] = state[name].index_select(axis, order)
    state["regulator_index"] = order.argsort()[module.regulator_index]
    regulators = state["regulator_index"].tolist()
    other = build_module(prior_strength=torch.zeros(G, R), regulators=regulators, **sizes).eval()
    other.load_state_dict(state)
    permuted = tensors | {REGISTRY_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY][:, order]}
    found, expected = posterior_of(other, permuted), posterior_of(module, tensors)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.stddev, expected.stddev, rtol=1e-4, atol=1e-5)
    maps = other.maps(other.regulator_values(permuted), ALL_GENES)
    expected_maps = module.maps(module.regulator_values(tensors), order)
    for part, expected_part in zip(maps, expected_maps, strict=True):
        torch.testing.assert_close(part, expected_part, rtol=1e-5, atol=1e-5)


def test_maps_have_targets_as_rows_and_regulators_as_columns(module: SCDualModule, tensors: Tensors) -> None:
    values = module.regulator_values(tensors)
    maps = module.maps(values, ALL_GENES)
    self_edges = sorted([gene, i] for i, gene in enumerate(REGULATORS))
    for part in (maps.regulation, maps.attention):
        assert part.shape == (G, R)
        assert (part == 0).nonzero().tolist() == self_edges
    some = torch.tensor([7, 2])
    torch.testing.assert_close(module.maps(values, some).regulation, maps.regulation[some], **CLOSE)


def test_without_a_list_all_genes_are_regulators() -> None:
    module = build_module(regulators=None)
    assert module.regulator_index.tolist() == list(range(G))
    assert module.gate.pair_offset.shape == (G, G)


def test_regulator_values_are_mixed_values_and_bins_of_the_counts(module: SCDualModule, tensors: Tensors) -> None:
    log_expr = module.scale.log_expr(tensors[REGISTRY_KEYS.X_KEY])
    values = module.regulator_values(tensors)
    assert torch.equal(values.state, module.expr_embedding.state_of(log_expr)[:, REGULATORS])
    observed = module.scale.rank_score(log_expr, ALL_GENES)[:, REGULATORS]
    expected = module.mixture(observed, module.scale.standardise(log_expr))
    torch.testing.assert_close(values.value, expected)
    torch.testing.assert_close(module.mixed_values(log_expr), expected)


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
    module: SCDualModule, tensors: Tensors, gene_passes: list[int]
) -> None:
    expected = posterior_of(module, tensors).mean
    gene_passes.clear()
    with torch.inference_mode():
        for _ in range(3):
            found = posterior_of(module, tensors).mean
            module.maps(module.regulator_values(tensors), ALL_GENES)
    assert len(gene_passes) == 1
    torch.testing.assert_close(found, expected)


def test_gene_state_is_computed_once_in_a_training_step(
    module: SCDualModule, tensors: Tensors, gene_passes: list[int]
) -> None:
    module.train()
    for step in (1, 2):
        loss_of(module, tensors).loss.backward()
        assert len(gene_passes) == step


def test_gene_state_is_never_kept_outside_of_inference(module: SCDualModule, gene_passes: list[int]) -> None:
    with torch.inference_mode():
        module.gene_state()
    gene_passes.clear()
    module.gene_state().sum().backward()  # gradients need a state of their own
    assert len(gene_passes) == 1
    module.train()
    with torch.inference_mode():
        module.gene_state()
        module.gene_state()
    assert len(gene_passes) == 3


def test_gene_state_follows_new_weights(module: SCDualModule) -> None:
    state = copy.deepcopy(module.state_dict())
    with torch.inference_mode():
        before = module.gene_state()
    nn.init.normal_(module.gene_embedding.weight)
    module.train()
    module.eval()
    with torch.inference_mode():
        assert not torch.allclose(module.gene_state(), before)
    module.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(module.gene_state(), before)
    module.double()
    with torch.inference_mode():
        assert module.gene_state().dtype == torch.float64


# ---- prior and scale --------------------------------------------------------------------------------------------------


def test_prior_raises_attention_on_its_edges(cells: Tensors, tensors: Tensors, prior_strength: torch.Tensor) -> None:
    module = prepare(build_module(prior_strength=prior_strength, prior_sign=torch.zeros(G, R)), cells)
    module.prior_strength.copy_(prior_strength)  # full trust
    values = module.regulator_values(tensors)
    told = module.maps(values, ALL_GENES)
    module.prior_weight = 0.0
    change = told.attention - module.maps(values, ALL_GENES).attention
    self_edges = ALL_GENES[:, None] == module.regulator_index
    has_edge = prior_strength.sum(1) > 0
    assert (change[(prior_strength > 0) & ~self_edges] > 0.01).all()
    assert (change[has_edge[:, None] & (prior_strength == 0) & ~self_edges] < 0).all()
    torch.testing.assert_close(change[~has_edge], torch.zeros(int((~has_edge).sum()), R))


@pytest.mark.parametrize("prior_weight", [0.0, 2.0])
def test_disagreement_with_the_prior_enters_the_loss(
    cells: Tensors, tensors: Tensors, prior_strength: torch.Tensor, prior_weight: float
) -> None:
    prior = {"prior_strength": prior_strength, "prior_sign": -torch.ones(G, R), "prior_weight": prior_weight}
    module = prepare(build_module(**prior, target_share=1.0), cells)
    module.prior_strength.copy_(0.5 * prior_strength)  # half the trust
    out = loss_of(module, tensors)
    state = module.gene_state()
    gate = module.gate(state, state[module.regulator_index], ALL_GENES)
    expected = 0.4 * gate[[1, 5, 12], [0, 1, 3]].relu().mean()  # three edges of strength 0.8, told to repress
    assert expected > 0
    torch.testing.assert_close(out.extra_metrics["prior_disagreement"], expected)
    parts = out.extra_metrics
    penalty = 0.5 * parts["regulation_loss"] + 0.1 * parts["edge_sparsity"] + prior_weight * expected
    elbo = out.reconstruction_loss["reconstruction_loss"] + out.kl_local["kl_divergence_z"]
    torch.testing.assert_close(out.loss, elbo.mean() + G * penalty)


def test_without_a_prior_there_is_no_disagreement(module: SCDualModule, tensors: Tensors) -> None:
    assert set(loss_of(module, tensors).extra_metrics) == {"regulation_loss", "edge_sparsity"}


def test_scale_is_saved_and_loaded(module: SCDualModule, tensors: Tensors) -> None:
    other = build_module()
    assert not other.is_scaled
    other.load_state_dict(module.state_dict())
    assert other.is_scaled
    other.eval()
    expected = module.predict_targets(tensors, module.hiding.fixed())
    torch.testing.assert_close(other.predict_targets(tensors, other.hiding.fixed()), expected)


def test_scale_does_not_depend_on_minibatches(cells: Tensors) -> None:
    module = build_module()
    other = copy.deepcopy(module)
    module.fit_scale([cells])
    other.fit_scale([rows(cells, list(range(start, min(start + 7, 60)))) for start in range(0, 60, 7)])
    expected = dict(module.named_buffers())
    for name, buffer in other.named_buffers():
        torch.testing.assert_close(buffer, expected[name], **CLOSE)
