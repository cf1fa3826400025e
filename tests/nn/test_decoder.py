"""Decoders add up their parts, and count distributions have the parameters they were asked for."""

import pytest
import torch
from scvi.distributions import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from torch import nn

from scdual.nn import CountDecoder, CovariateEffects, RegulationDecoder

B, G, Z, H = 4, 12, 3, 6
CATEGORIES = [2, 3]
U = sum(CATEGORIES) + 1
TARGET = torch.tensor([7, 0, 11])


def effects(n_out: int) -> CovariateEffects:
    return CovariateEffects(n_out, n_categories=CATEGORIES, n_continuous=1)


def test_prediction_is_the_sum_of_its_parts() -> None:
    decoder = RegulationDecoder(effects(G), G)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter)
    contribution, covariates = torch.randn(B, len(TARGET)), torch.randn(B, U)
    found = decoder(contribution, covariates, TARGET)
    effect = torch.cat([*decoder.effects.categorical, decoder.effects.continuous])
    for b in range(B):
        for t, gene in enumerate(TARGET.tolist()):
            covariate_part = sum(covariates[b, u] * effect[u, gene] for u in range(U))
            torch.testing.assert_close(found[b, t], decoder.intercept[gene] + covariate_part + contribution[b, t])


def test_only_regulators_speak_at_the_start() -> None:
    contribution = torch.randn(B, len(TARGET))
    found = RegulationDecoder(effects(G), G)(contribution, torch.randn(B, U), TARGET)
    torch.testing.assert_close(found, contribution)


@pytest.mark.parametrize(
    ("likelihood", "family"),
    [("nb", NegativeBinomial), ("zinb", ZeroInflatedNegativeBinomial), ("poisson", Poisson)],
)
def test_counts_have_the_family_asked_for_and_add_up_to_the_library_size(likelihood: str, family: type) -> None:
    decoder = CountDecoder(
        effects(H), effects(G), n_latent=Z, n_genes=G, n_hidden=H, n_dispersions=1, gene_likelihood=likelihood
    )
    log_size = torch.rand(B, 1) * 5
    px = decoder(torch.randn(B, Z), log_size, torch.randn(B, U), torch.zeros(B, dtype=torch.int64))
    assert isinstance(px, family)
    rate = px.get_normalized("mu") if likelihood != "zinb" else px.mu
    torch.testing.assert_close(rate.sum(-1, keepdim=True), log_size.exp())


def test_covariates_multiply_shares_of_genes() -> None:
    decoder = CountDecoder(
        effects(H), effects(G), n_latent=Z, n_genes=G, n_hidden=H, n_dispersions=1, gene_likelihood="nb"
    )
    hidden, covariates = torch.rand(B, H), torch.randn(B, U)
    before = decoder.proportion(hidden, covariates)
    for parameter in decoder.gene_effects.parameters():
        nn.init.normal_(parameter)
    effect = torch.cat([*decoder.gene_effects.categorical, decoder.gene_effects.continuous])
    expected = torch.stack([before[b] * sum(covariates[b, u] * effect[u] for u in range(U)).exp() for b in range(B)])
    torch.testing.assert_close(decoder.proportion(hidden, covariates), expected / expected.sum(1, keepdim=True))


def test_genes_start_at_their_shares_in_each_batch() -> None:
    decoder = CountDecoder(
        effects(H), effects(G), n_latent=Z, n_genes=G, n_hidden=H, n_dispersions=1, gene_likelihood="nb"
    )
    share, of_batches = torch.rand(G).softmax(0), torch.rand(2, G).softmax(1)
    decoder.start_at_shares(share, of_batches)
    covariates = torch.eye(2, U)
    torch.testing.assert_close(decoder.proportion(torch.zeros(2, H), covariates), of_batches)
    torch.testing.assert_close(decoder.proportion(torch.zeros(1, H), torch.zeros(1, U))[0], share)


def test_a_group_has_its_row_of_dispersions() -> None:
    decoder = CountDecoder(
        effects(H), effects(G), n_latent=Z, n_genes=G, n_hidden=H, n_dispersions=3, gene_likelihood="nb"
    )
    group = torch.tensor([2, 0, 2, 1])
    px = decoder(torch.randn(B, Z), torch.ones(B, 1), torch.randn(B, U), group)
    torch.testing.assert_close(px.theta, decoder.log_inverse_dispersion.exp()[group])


def test_gradients_of_shared_dispersions_do_not_depend_on_threads() -> None:
    torch.set_num_threads(4)
    n_cells, n_genes = 128, 2_000  # enough for several threads
    decoder = CountDecoder(
        effects(H), effects(n_genes), n_latent=Z, n_genes=n_genes, n_hidden=H, n_dispersions=1, gene_likelihood="nb"
    )
    cells = torch.randn(n_cells, Z), torch.ones(n_cells, 1), torch.randn(n_cells, U), torch.zeros(n_cells).long()
    counts = torch.poisson(torch.ones(n_cells, n_genes))
    grads = []
    for _ in range(10):
        decoder.zero_grad()
        decoder(*cells).log_prob(counts).sum().backward()
        grads.append(decoder.log_inverse_dispersion.grad)
    assert all(torch.equal(grad, grads[0]) for grad in grads)
