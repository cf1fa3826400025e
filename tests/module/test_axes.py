"""Distances in the embedding count differences in the latent state and in decoded expression."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.module._axes import expression_metric, fit_axes, principal_axes


@pytest.fixture(scope="module")
def model() -> SCDual:
    cells = simulate(200, 30, n_regulators=5, n_batches=2)
    SCDual.setup_anndata(cells, batch_key="batch")
    model = SCDual(cells, regulators="regulator", n_latent=4)
    model.train(8)
    return model


def refit(model: SCDual, dataloader: Iterable[dict[str, torch.Tensor]]) -> None:
    module = model.module
    fit_axes(module.cell_state, module.map.values.scale.log_library_size, module.latent_states(dataloader))


def random_metric(n_latent: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    metric, covariance = (torch.randn(20, n_latent, generator=generator).T.cov() for _ in range(2))
    return metric, covariance


def test_the_metric_of_a_linear_decoder_is_its_gram_matrix() -> None:
    weight = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    found = expression_metric(lambda z: z @ weight.T, torch.randn(5, 3))
    torch.testing.assert_close(found, weight.T @ weight)


def test_the_metric_is_the_mean_over_cells_of_products_of_their_jacobians() -> None:
    weight = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(2))

    def decode(latent: torch.Tensor) -> torch.Tensor:
        return (latent @ weight.T).softmax(-1).mul(100).log1p()

    jacobians = [torch.autograd.functional.jacobian(decode, cell) for cell in z]  # (G, Z) each
    expected = sum(jacobian.T @ jacobian for jacobian in jacobians) / len(z)
    torch.testing.assert_close(expression_metric(decode, z), expected)


def test_axes_are_a_root_of_the_metric_in_which_cells_are_uncorrelated() -> None:
    metric, covariance = random_metric(4)
    axes = principal_axes(metric, covariance)
    torch.testing.assert_close(axes @ axes.T, metric)
    variance = (axes.T @ covariance @ axes).diagonal()
    torch.testing.assert_close(axes.T @ covariance @ axes, variance.diag(), atol=1e-5, rtol=0)
    assert (variance.diff() <= 0).all()


def test_axes_do_not_depend_on_the_signs_an_eigensolver_returns() -> None:
    metric, covariance = random_metric(4)
    axes = principal_axes(metric, covariance)
    assert (axes.gather(0, axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_columns_of_the_embedding_are_its_principal_components(model: SCDual) -> None:
    covariance = np.cov(model.get_latent_representation().T)
    std = np.sqrt(covariance.diagonal())
    assert (np.diff(std) < 0).all()
    np.testing.assert_allclose(covariance / np.outer(std, std), np.eye(4), atol=1e-3)


def test_distances_count_the_latent_state_and_decoded_expression_alike(model: SCDual) -> None:
    module, n_cells, step = model.module, 200, 1e-2
    (tensors,) = model._make_data_loader(model.adata, batch_size=n_cells)
    inferred = module.inference(**module._get_inference_input(tensors))
    moves = step * torch.randn(50, 1, 4, generator=torch.Generator().manual_seed(0))
    inferred["library"] = module.map.values.scale.log_library_size.expand(n_cells, 1)

    def decoded(z: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            generated = module.generative(**module._get_generative_input(tensors, inferred | {"z": z}))
        return generated["px"].mean.log1p()

    mean = inferred["qz"].loc
    differences = torch.stack([decoded(mean + move) - decoded(mean - move) for move in moves])
    squares = differences.square().sum(-1).mean(1).numpy()  # over cells
    lengths = (2 * moves).square().sum((1, 2)).numpy()
    axes = module.cell_state.axes
    found = (2 * moves @ axes).square().sum((1, 2)).numpy()
    weight = np.median(
        (2 * found - lengths) / squares
    )  # what it should be follows from the total variance of the cells
    np.testing.assert_allclose(found, (lengths + weight * squares) / 2, rtol=0.02)
    torch.testing.assert_close((mean @ axes).var(0).sum(), mean.var(0).sum())


def test_means_variances_and_samples_share_the_axes(model: SCDual) -> None:
    module, axes = model.module, model.module.cell_state.axes
    (tensors,) = model._make_data_loader(model.adata, batch_size=200)
    with torch.no_grad():
        qz = module.inference(**module._get_inference_input(tensors))["qz"]
    mean, var = model.get_latent_representation(return_dist=True)
    np.testing.assert_allclose(mean, qz.loc @ axes, atol=1e-5)
    samples = np.stack([model.get_latent_representation(give_mean=False) for _ in range(100)])
    np.testing.assert_allclose(samples.mean(0), mean, atol=6 * var.max() ** 0.5 / 100**0.5)
    np.testing.assert_allclose(samples.var(0).mean(0), var.mean(0), rtol=0.1)


def test_a_frozen_decoder_keeps_its_axes(model: SCDual) -> None:
    weight, before = model.module.cell_state.decoder.latent_proj.weight, model.module.cell_state.axes.clone()
    weight.requires_grad_(False)
    refit(model, [])
    weight.requires_grad_(True)
    assert torch.equal(model.module.cell_state.axes, before)


def test_a_decoder_that_diverged_leaves_the_axes_alone(model: SCDual) -> None:
    bias, before = model.module.cell_state.decoder.proportion_proj.bias, model.module.cell_state.axes.clone()
    good = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(torch.nan)
    refit(model, model._make_data_loader(model.adata))
    with torch.no_grad():
        bias.copy_(good)
    assert torch.equal(model.module.cell_state.axes, before)


def test_a_single_cell_leaves_the_axes_alone(model: SCDual) -> None:
    before = model.module.cell_state.axes.clone()
    refit(model, model._make_data_loader(model.adata, indices=[0]))
    assert torch.equal(model.module.cell_state.axes, before)


def test_axes_are_the_same_whatever_the_batch_size(model: SCDual) -> None:
    refit(model, model._make_data_loader(model.adata, batch_size=200))
    whole = model.module.cell_state.axes.clone()
    refit(model, model._make_data_loader(model.adata, batch_size=7))
    torch.testing.assert_close(model.module.cell_state.axes, whole, atol=1e-4, rtol=1e-4)
