"""The module keeps its promises at the level of counts: likelihoods, covariates, invariances, gradients.

Dimension key
    B  cells      G  genes      R  regulators      T  targets      Z  latent dimensions
"""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from scvi import REGISTRY_KEYS
from scvi.module.base import LossOutput
from torch import nn
from torch.distributions import Normal

from scdual.module import SCDualModule
from scdual.nn import NetworkMaps

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
        nn.init.normal_(parameter, std=1.0 if name.startswith("map.gate") else 0.4)
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


def rows(tensors: Tensors, index: list[int]) -> Tensors:
    return {key: value[index] for key, value in tensors.items()}


def posterior_of(module: SCDualModule, tensors: Tensors) -> Normal:
    return module.inference(**module._get_inference_input(tensors))["qz"]


def maps_of(module: SCDualModule, tensors: Tensors, target: torch.Tensor) -> NetworkMaps:
    log_expr = module.map.values.log_expr(module.map_cells(tensors))
    return module.map.maps(module.map.regulator_values(log_expr), target)


def loss_of(module: SCDualModule, tensors: Tensors, **kwargs: Any) -> LossOutput:
    return module(tensors, loss_kwargs=kwargs)[2]


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
    for name in ("map.gate.target_proj.weight", "map.gate.pair_offset", "map.gene_embedding.weight", latent_mean):
        assert module.get_parameter(name).grad.abs().sum() > 0


def test_loss_is_the_sum_of_its_parts(module: SCDualModule, tensors: Tensors) -> None:
    out = loss_of(module, tensors, kl_weight=0.3)
    elbo = torch.stack(list(out.reconstruction_loss.values())) + 0.3 * out.kl_local["kl_divergence_z"]
    extra = out.extra_metrics
    penalty = 0.5 * extra["regulation_loss"] + 0.1 * extra["edge_sparsity"]
    torch.testing.assert_close(out.loss, elbo.mean() + G * penalty)


def test_kl_divergence_agrees_with_its_closed_form(module: SCDualModule, tensors: Tensors) -> None:
    module.cell_state.prior.set_standard_normal()
    inference, _, out = module(tensors, inference_kwargs={"n_samples": 20_000})
    mean, var = inference["qz"].mean, inference["qz"].variance
    expected = 0.5 * (mean.square() + var - var.log() - 1).sum(1)
    torch.testing.assert_close(out.kl_local["kl_divergence_z"], expected, rtol=0.05, atol=0.05)


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
    covariates = module.covariates(tensors)
    hidden = decoder.norm(decoder.latent_proj(inference["z"]) + decoder.effects(covariates)).relu()
    mu = (decoder.proportion_proj(hidden) + decoder.gene_effects(covariates)).softmax(
        -1
    ).detach().double().numpy() * x.sum(1, keepdims=True)
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
    assert not torch.allclose(found, module.generative(z, library, covariates, transform_batch=0)["px"].mean)


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
    posterior = posterior_of(module, tensors)
    for b in range(B):
        torch.testing.assert_close(posterior_of(module, rows(tensors, [b])).mean[0], posterior.mean[b], **CLOSE)


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
    index = order.argsort()[module.map.regulator_index]
    state["map.values.regulator_index"], regulators = index, index.tolist()
    other = build_module(prior_strength=torch.zeros(G, R), regulators=regulators, **sizes).eval()
    other.load_state_dict(state)
    permuted = tensors | {REGISTRY_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY][:, order]}
    found, expected = posterior_of(other, permuted), posterior_of(module, tensors)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.stddev, expected.stddev, rtol=1e-4, atol=1e-5)
    maps = maps_of(other, permuted, ALL_GENES)
    expected_maps = maps_of(module, tensors, order)
    for part, expected_part in zip(maps, expected_maps, strict=True):
        torch.testing.assert_close(part, expected_part, rtol=1e-5, atol=1e-5)
