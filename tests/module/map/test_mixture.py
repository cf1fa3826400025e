"""The mixture agrees with scikit-learn's components and NumPy, adds nothing to noise, and unseen genes stay unseen."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from scdual.module.map import MapSettings, ValueMixture

N, G, P = 400, 12, 3
REGULATOR = torch.tensor([4, 0, 7, 9])
R = len(REGULATOR)
UNSEEN = torch.tensor([7, 2])
OTHERS = [g for g in range(G) if g not in UNSEEN.tolist()]
SEEN_REGULATORS = [i for i, regulator in enumerate(REGULATOR.tolist()) if regulator in OTHERS]


def standardise(values: torch.Tensor) -> torch.Tensor:
    return (values - values.mean(0)) / values.std(0, correction=0)


@pytest.fixture
def values() -> torch.Tensor:
    """Standardised values of all genes, with two programmes in them, shape ``(N, G)``."""
    return standardise(torch.randn(N, 2) @ torch.randn(2, G) + torch.randn(N, G))


def fit_mixture(
    batches: Iterable[torch.Tensor],
    n_components: int = P,
    *,
    denoised_weight: float | None = 0.5,
    over_noise: float = 10.0,
    n_cells: int = N,
) -> ValueMixture:
    mixture = ValueMixture(
        G, REGULATOR, denoised_weight=denoised_weight, settings=MapSettings(n_components=n_components)
    )
    mixture.fit(batches, n_cells=n_cells, over_noise=over_noise)
    return mixture


def mix(mixture: ValueMixture, values: torch.Tensor, unseen: torch.Tensor | None = None) -> torch.Tensor:
    return mixture(values[:, REGULATOR], values, unseen)


def targets(mixture: ValueMixture, values: torch.Tensor) -> torch.Tensor:
    return mixture.targets(values, values, torch.arange(G))


# ---- what is added ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_per_batch", [7, N])
@pytest.mark.parametrize("n_components", [P, 50])
def test_mixture_adds_what_principal_components_say(values: torch.Tensor, n_per_batch: int, n_components: int) -> None:
    mixture = fit_mixture(values.split(n_per_batch), n_components)
    z = values.double().numpy()
    pca = PCA(min(n_components, G), svd_solver="full").fit(z)
    expected = z[:, REGULATOR].copy()
    above_noise = np.clip(1 - (1 + np.sqrt(G / N)) ** 2 / pca.explained_variance_, 0, None)
    assert 0 < (above_noise > 0).sum() <= 2  # the two programmes
    denoised = z @ pca.components_.T @ np.diag(above_noise) @ pca.components_[:, REGULATOR]
    for i in range(R):
        spread = denoised[:, i].std(ddof=1)
        expected[:, i] += 0.5 * spread / (spread**2 + 0.02) * denoised[:, i]
    np.testing.assert_allclose(mix(mixture, values), expected, rtol=1e-3, atol=1e-3)
    targets = mixture.targets(values[:, REGULATOR], values, REGULATOR)
    np.testing.assert_allclose(targets, z[:, REGULATOR] + 0.5 * denoised, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("over_noise", "weight"), [(10.0, 0.5), (2.5, 2.0), (1.25, 4.0), (1.0, 4.0), (0.0, 4.0)])
def test_weight_is_read_off_the_signal_unless_given(values: torch.Tensor, over_noise: float, weight: float) -> None:
    read = mix(fit_mixture([values], denoised_weight=None, over_noise=over_noise), values)
    torch.testing.assert_close(read, mix(fit_mixture([values], denoised_weight=weight), values))
    given = mix(fit_mixture([values], denoised_weight=0.7, over_noise=over_noise), values)
    torch.testing.assert_close(given, mix(fit_mixture([values], denoised_weight=0.7), values))


@pytest.mark.parametrize(("n_cells", "n_genes"), [(400, 100), (1000, 300)])
def test_mixture_adds_nothing_to_pure_noise(n_cells: int, n_genes: int) -> None:
    noise = standardise(torch.randn(n_cells, n_genes))
    mixture = ValueMixture(n_genes, torch.arange(20), denoised_weight=4.0)
    mixture.fit([noise], n_cells=n_cells, over_noise=1.0)
    change = mixture(noise[:, :20], noise) - noise[:, :20]
    assert change.std() < 0.05
    assert (mixture.shrinkage > 0).sum() <= 1  # the law holds on average
    planted = standardise(noise + torch.randn(n_cells, 1) @ torch.ones(1, n_genes))
    mixture.fit([planted], n_cells=n_cells, over_noise=1.0)
    assert (mixture(planted[:, :20], planted) - planted[:, :20]).std() > 1


def test_mixture_without_denoised_values_is_the_observed(values: torch.Tensor) -> None:
    mixture = fit_mixture([values], denoised_weight=0.0)
    torch.testing.assert_close(mix(mixture, values), values[:, REGULATOR])
    torch.testing.assert_close(targets(mixture, values), values)
    assert torch.equal(mixture.self_covariance(), torch.zeros(R, G))


def test_mixture_that_was_not_fitted_is_the_observed(values: torch.Tensor) -> None:
    assert torch.equal(mix(ValueMixture(G, REGULATOR), values), values[:, REGULATOR])


def test_a_regulator_outside_of_all_programmes_keeps_its_observed_values(values: torch.Tensor) -> None:
    lonely = int(REGULATOR[1])
    values[:, lonely] = standardise(torch.randn(N, 1))[:, 0]
    mixed = mix(fit_mixture([values], denoised_weight=1.0), values)
    correlation = [np.corrcoef(mixed[:, i], values[:, REGULATOR[i]])[0, 1] for i in range(R)]
    assert correlation[1] > 0.99
    assert min(np.delete(correlation, 1)) < 0.99


def test_observed_values_enter_as_they_are(values: torch.Tensor) -> None:
    """Ranks of the regulators, say, while the components speak of plain values."""
    mixture, other = fit_mixture([values]), torch.randn(N, R)
    change = mixture(other, values) - mix(mixture, values)
    torch.testing.assert_close(change, other - values[:, REGULATOR], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("denoised_weight", [0.0, 0.5, 2.0])
def test_spread_of_the_mixed_values_becomes_one(values: torch.Tensor, denoised_weight: float) -> None:
    mixture = fit_mixture([values], denoised_weight=denoised_weight)
    mixture.set_std(mix(mixture, values).std(0), targets(mixture, values).std(0))
    torch.testing.assert_close(mix(mixture, values).std(0), torch.ones(R))
    torch.testing.assert_close(targets(mixture, values).std(0), torch.ones(G))


def test_a_constant_regulator_keeps_its_zero_deviation(values: torch.Tensor) -> None:
    values[:, REGULATOR[2]] = 0
    mixture = fit_mixture([values])
    mixture.set_std(mix(mixture, values).std(0), targets(mixture, values).std(0))
    assert torch.equal(mix(mixture, values)[:, 2], torch.zeros(N))
    assert torch.equal(targets(mixture, values)[:, REGULATOR[2]], torch.zeros(N))


# ---- what a gene says about itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target_std", [1.0, 2.0])
def test_self_covariance_is_the_derivative_of_the_denoised_value(values: torch.Tensor, target_std: float) -> None:
    mixture = fit_mixture([values])
    mixture.set_std(mix(mixture, values).std(0), torch.full((G,), target_std))
    observed, seen = values[[5]][:, REGULATOR], values[[5]].clone().requires_grad_()
    denoised = mixture(observed, seen)[0]
    rows = [torch.autograd.grad(denoised[i], seen, retain_graph=True)[0][0] for i in range(R)]
    torch.testing.assert_close(mixture.self_covariance(), torch.stack(rows) / target_std)


def test_covariance_with_a_gene_falls_by_its_self_covariance_where_it_is_unseen(values: torch.Tensor) -> None:
    mixture = fit_mixture([values])
    found = mix(mixture, values).T @ values / N - mixture.self_covariance()
    for gene in range(G):
        if gene not in REGULATOR.tolist():
            unseen = mix(mixture, values, torch.tensor([gene]))
            torch.testing.assert_close(found[:, gene], unseen.T @ values[:, gene] / N, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gene", UNSEEN.tolist())
def test_unseen_genes_do_not_move_other_regulators(values: torch.Tensor, gene: int) -> None:
    mixture, changed = fit_mixture([values]), values.clone()
    changed[:, gene] += 5
    others = [i for i, regulator in enumerate(REGULATOR.tolist()) if regulator != gene]
    assert torch.equal(mix(mixture, changed, UNSEEN)[:, others], mix(mixture, values, UNSEEN)[:, others])
    assert not torch.allclose(mix(mixture, changed)[:, others], mix(mixture, values)[:, others])


def test_unseen_genes_enter_denoising_at_their_mean(values: torch.Tensor) -> None:
    mixture, at_mean = fit_mixture([values]), values.clone()
    at_mean[:, UNSEEN] = 0
    found = mix(mixture, values, UNSEEN)[:, SEEN_REGULATORS]
    torch.testing.assert_close(found, mix(mixture, at_mean)[:, SEEN_REGULATORS])


# ---- what must not matter ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_cells", [1, 2, 9])
def test_fewer_cells_than_components_leave_nothing_to_denoise_with(values: torch.Tensor, n_cells: int) -> None:
    mixture = fit_mixture([values[:n_cells]], n_components=10, n_cells=n_cells)
    assert torch.equal(mix(mixture, values), values[:, REGULATOR])


def test_many_chunks_of_cells_agree_with_one(values: torch.Tensor) -> None:
    many = values.repeat(8, 1)  # 3,200 cells: more than one chunk
    found = mix(fit_mixture(many.split(128), n_cells=len(many)), values)
    expected = mix(fit_mixture([many], n_cells=len(many)), values)
    torch.testing.assert_close(found.std(0), expected.std(0), rtol=0, atol=0.02)
    for i in range(R):
        assert np.corrcoef(found[:, i], expected[:, i])[0, 1] > 0.98


@pytest.mark.parametrize("n_more", [1, 90, 400], ids=["one", "fewer than half a chunk", "of another kind"])
def test_the_last_cells_count_where_they_are_no_chunk_of_their_own(values: torch.Tensor, n_more: int) -> None:
    others = standardise(torch.randn(400, 2) @ torch.randn(2, G) + 0.1 * torch.randn(400, G))[:n_more]
    all_cells = torch.cat([values, values, values[:224], others])  # 1,024 and more
    found = mix(fit_mixture(all_cells.split(512), n_cells=len(all_cells)), values)
    torch.testing.assert_close(
        found, mix(fit_mixture([all_cells], n_cells=len(all_cells)), values), rtol=1e-4, atol=1e-4
    )


def test_order_of_genes_does_not_matter(values: torch.Tensor) -> None:
    order = torch.randperm(G)
    expected = fit_mixture([values])
    found = ValueMixture(G, order.argsort()[REGULATOR], denoised_weight=0.5, settings=MapSettings(n_components=P))
    found.fit([values[:, order]], n_cells=N, over_noise=10.0)
    mixed = found(values[:, REGULATOR], values[:, order])
    torch.testing.assert_close(mixed, mix(expected, values), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.self_covariance(), expected.self_covariance()[:, order], rtol=1e-4, atol=1e-4)


def test_mixture_is_saved_and_loaded(values: torch.Tensor) -> None:
    mixture = fit_mixture([values], denoised_weight=None)
    mixture.set_std(mix(mixture, values).std(0), targets(mixture, values).std(0))
    other = ValueMixture(G, REGULATOR, settings=MapSettings(n_components=P))
    other.load_state_dict(mixture.state_dict())
    torch.testing.assert_close(mix(other, values), mix(mixture, values))
    torch.testing.assert_close(targets(other, values), targets(mixture, values))
