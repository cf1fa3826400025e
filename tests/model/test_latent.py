import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from torch.distributions import Independent, Normal

from scdual.datasets import simulate
from scdual.model import SCDual


def test_the_latent_mean_is_float32_of_cells_by_dimensions(trained: SCDual) -> None:
    latent = trained.get_latent_representation()
    assert latent.shape == (150, trained.module.n_latent)
    assert latent.dtype == np.float32
    assert np.isfinite(latent).all()


@pytest.mark.parametrize(
    "chosen", [[5, 3, 8], np.array([5, 3, 8]), np.arange(150) % 7 == 0, [i % 7 == 0 for i in range(150)]]
)
def test_cells_are_chosen_by_position_or_mask(trained: SCDual, chosen: list[int] | np.ndarray) -> None:
    expected = trained.get_latent_representation()[np.asarray(chosen)]
    np.testing.assert_allclose(trained.get_latent_representation(indices=chosen), expected, atol=1e-5)


@pytest.mark.parametrize("nothing", [[], np.zeros(150, dtype=bool)])
@pytest.mark.parametrize("method", ["get_latent_representation", "get_elbo", "get_regulation"])
def test_choosing_no_cell_is_an_error(trained: SCDual, method: str, nothing: list[int] | np.ndarray) -> None:
    with pytest.raises(ValueError, match="`indices` chooses none of the 150 cells"):
        getattr(trained, method)(indices=nothing)


def test_minibatches_and_the_order_of_cells_do_not_matter(trained: SCDual) -> None:
    latent = trained.get_latent_representation()
    np.testing.assert_allclose(trained.get_latent_representation(batch_size=7), latent, atol=1e-5)
    order = np.random.default_rng(0).permutation(150)
    np.testing.assert_allclose(trained.get_latent_representation(indices=order), latent[order], atol=1e-5)
    shuffled = trained.adata[order].copy()
    np.testing.assert_allclose(trained.get_latent_representation(shuffled), latent[order], atol=1e-5)


def test_copies_and_views_of_the_data_are_accepted(trained: SCDual) -> None:
    latent = trained.get_latent_representation()
    copy = trained.adata.copy()
    np.testing.assert_allclose(trained.get_latent_representation(copy), latent, atol=1e-5)
    assert copy.uns["_scvi_uuid"] != trained.adata.uns["_scvi_uuid"]
    np.testing.assert_allclose(trained.get_latent_representation(trained.adata[:20]), latent[:20], atol=1e-5)
    raw = simulate(150, 36, n_regulators=6, n_batches=2)
    np.testing.assert_allclose(trained.get_latent_representation(raw), latent, atol=1e-5)


def test_reading_off_a_model_leaves_the_data_unchanged(trained: SCDual, adata: AnnData) -> None:
    before = adata.copy()
    for read in (trained.get_latent_representation, trained.get_regulation, trained.get_elbo):
        read(adata)
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    own = [name for name in adata.obs if not name.startswith("_scvi")]
    assert own == list(before.obs)
    assert {key for key in adata.uns if not key.startswith("_scvi")} == set(before.uns)
    assert (list(adata.obsm), list(adata.varm), set(adata.varp)) == ([], [], set(before.varp))
    assert list(adata.var) == list(before.var)


@pytest.mark.parametrize(
    "method",
    [
        "get_latent_representation",
        "get_regulation",
        "get_gene_embedding",
        "annotate",
        "get_aggregated_posterior",
        "differential_abundance",
    ],
)
def test_an_untrained_model_is_an_error(adata: AnnData, method: str) -> None:
    SCDual.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="untrained model|has no regulatory map"):
        getattr(SCDual(adata, regulators="regulator"), method)()


def test_a_posterior_has_mean_and_variance(trained: SCDual) -> None:
    mean, var = trained.get_latent_representation(return_dist=True)
    np.testing.assert_array_equal(mean, trained.get_latent_representation())
    assert (var > 0).all()
    draws = np.stack([trained.get_latent_representation(give_mean=False) for _ in range(60)])
    np.testing.assert_allclose(draws.std(0).mean(), np.sqrt(var).mean(), rtol=0.05)


def test_every_method_takes_a_dataloader(trained: SCDual) -> None:
    expected = trained.get_latent_representation()
    loader = trained._make_data_loader(trained.adata, batch_size=64)
    np.testing.assert_allclose(trained.get_latent_representation(dataloader=loader), expected, atol=1e-5)
    for method in (trained.get_elbo, trained.get_reconstruction_error, trained.get_marginal_ll):
        method(dataloader=loader, **({"n_mc_samples": 2} if method == trained.get_marginal_ll else {}))
        with pytest.raises(ValueError, match="Only one of `adata` or `dataloader`"):
            method(trained.adata, dataloader=loader)


def test_elbo_and_reconstruction_error_are_per_cell_or_a_mean(trained: SCDual) -> None:
    scvi.settings.seed = 0
    elbo = trained.get_elbo(return_mean=False)
    assert elbo.shape == (150,)
    scvi.settings.seed = 0
    assert float(trained.get_elbo()) == pytest.approx(float(elbo.mean()), rel=1e-5)
    error = trained.get_reconstruction_error(return_mean=False)["reconstruction_loss"]
    assert error.shape == (150,)
    assert trained.get_reconstruction_error(indices=[1, 2])["reconstruction_loss"].ndim == 0
    assert float(elbo.mean()) < -float(error.mean()) + 1  # the divergence from the prior costs


def test_the_elbo_is_the_expected_likelihood_less_the_divergence(trained: SCDual) -> None:
    scvi.settings.seed = 1
    (tensors,) = trained._make_data_loader(trained.adata, batch_size=150)
    with torch.inference_mode():
        inferred = trained.module.infer(tensors)
        log_prior = trained.module.cell_state.prior().log_prob(inferred["z"])
    kl = (-0.5 * (1 + (2 * np.pi * inferred["qz"].variance).log()).sum(1) - log_prior).numpy()
    scvi.settings.seed = 1
    elbo = trained.get_elbo(batch_size=150, return_mean=False).numpy()
    scvi.settings.seed = 1
    error = trained.get_reconstruction_error(batch_size=150, return_mean=False)["reconstruction_loss"].numpy()
    np.testing.assert_allclose(elbo, -error - kl, rtol=1e-4)


def test_the_marginal_likelihood_agrees_with_an_integral_over_a_grid() -> None:
    adata = simulate(30, 12, n_regulators=3, n_cell_types=1)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", n_latent=1)
    posterior = model.module.cell_state.posterior
    for linear, bias in ((posterior.mean_proj, 0.5), (posterior.log_var_proj, np.log(4.0))):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.constant_(linear.bias, bias)  # a posterior of mean 1/2 and variance 4 covers the true one
    model.module.eval()
    model.is_trained_ = True  # by hand
    found = model.get_marginal_ll(n_mc_samples=2_000, return_mean=False)
    assert found.shape == (30,)

    grid = torch.linspace(-8, 8, 2_001)  # (S,)
    (tensors,) = model._make_data_loader(adata, batch_size=30)
    with torch.inference_mode():
        inputs = model.module._get_generative_input(
            tensors, model.module.inference(**model.module._get_inference_input(tensors))
        )
        inputs["z"] = grid[:, None, None].expand(-1, 30, 1)
        inputs["library"] = inputs["library"].expand(2_001, -1, -1)
        log_lik = model.module.generative(**inputs)["px"].log_prob(tensors["X"]).sum(-1)  # (S, B)
    with torch.inference_mode():
        joint = log_lik + model.module.cell_state.prior().log_prob(grid[:, None])[:, None]
    expected = joint.logsumexp(0) + torch.log(grid[1] - grid[0])
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert float(model.get_elbo()) < float(expected.mean())


def test_the_mean_marginal_likelihood_weighs_cells_alike(trained: SCDual) -> None:
    scvi.settings.seed = 0
    each = trained.get_marginal_ll(n_mc_samples=3, return_mean=False)
    scvi.settings.seed = 0
    assert trained.get_marginal_ll(n_mc_samples=3) == pytest.approx(float(each.mean()), rel=1e-5)


@pytest.mark.parametrize("with_covariates", [False, True])
@pytest.mark.parametrize("n_mc_samples", [1, 26])
def test_the_marginal_likelihood_of_every_setup_is_finite(
    adata: AnnData, with_covariates: bool, n_mc_samples: int
) -> None:
    adata.obs["age"] = np.linspace(-1, 1, 150)
    adata.obs["size"] = np.linspace(1, 2, 150)
    covariates = {
        "size_factor_key": "size",
        "continuous_covariate_keys": ["age"],
        "categorical_covariate_keys": ["cell_type"],
    }
    SCDual.setup_anndata(adata, batch_key="batch", **(covariates if with_covariates else {}))
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    values = model.get_marginal_ll(n_mc_samples=n_mc_samples, return_mean=False)
    assert values.shape == (150,)
    assert torch.isfinite(values).all()


@pytest.mark.parametrize("dof", [None, 3.0])
def test_the_aggregated_posterior_mixes_the_cells(trained: SCDual, dof: float | None) -> None:
    mixture = trained.get_aggregated_posterior(indices=[2, 5, 9], dof=dof)
    mean, var = trained.get_latent_representation(indices=[2, 5, 9], return_dist=True)
    np.testing.assert_allclose(mixture.mean, mean.mean(0), atol=1e-5)
    if dof is None:
        point = torch.zeros(mean.shape[1])
        parts = Independent(Normal(torch.from_numpy(mean), torch.from_numpy(var).sqrt()), 1).log_prob(point)
        np.testing.assert_allclose(mixture.log_prob(point), parts.logsumexp(0) - np.log(3), rtol=1e-4)
    assert trained.get_aggregated_posterior().mixture_distribution.probs.shape == (150,)


def test_differential_abundance_writes_a_density_per_sample(trained: SCDual, adata: AnnData) -> None:
    trained.differential_abundance(adata, sample_key="batch")
    table = adata.obsm["da_log_probs"]
    assert sorted(table.columns) == ["batch_1", "batch_2"]
    assert list(table.index) == list(adata.obs_names)
    mixture = trained.get_aggregated_posterior(adata, np.flatnonzero(adata.obs["batch"] == "batch_1"), dof=None)
    expected = mixture.log_prob(torch.from_numpy(trained.get_latent_representation(adata)))
    np.testing.assert_allclose(table["batch_1"], expected, rtol=1e-4)


@pytest.mark.parametrize("sample_key", ["nope", None])
def test_an_unknown_sample_column_is_named_with_those_there_are(trained: SCDual, sample_key: str | None) -> None:
    with pytest.raises(KeyError, match=rf"sample_key={sample_key!r}.*'cell_type'"):
        trained.differential_abundance(sample_key=sample_key)
