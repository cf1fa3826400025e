"""In the gene branch only regulators are keys, and the order of genes does not matter."""

import pytest
import torch
from torch import nn

from scdual.nn import GeneBranch

G, D, H, C = 12, 8, 2, 3
REGULATOR = torch.tensor([9, 2, 5, 0])
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(params=[1, 2, 3])
def branch(request: pytest.FixtureRequest) -> GeneBranch:
    return GeneBranch(D, n_heads=H, n_kv_latent=C, n_layers=request.param, dropout_rate=0.0)


@pytest.fixture
def gene_emb() -> torch.Tensor:
    return torch.randn(G, D)


def moved_genes(branch: GeneBranch, gene_emb: torch.Tensor, changed: int) -> list[int]:
    """Return the genes whose state moves when the embedding of one gene does."""
    other = gene_emb.clone()
    other[changed] = torch.randn(D)
    difference = branch(other, REGULATOR) - branch(gene_emb, REGULATOR)
    return (difference.abs().amax(1) > 1e-5).nonzero().flatten().tolist()


@pytest.mark.parametrize("changed", [1, 11])
def test_other_genes_do_not_see_a_gene_that_is_no_regulator(
    branch: GeneBranch, gene_emb: torch.Tensor, changed: int
) -> None:
    assert moved_genes(branch, gene_emb, changed) == [changed]


@pytest.mark.parametrize("changed", REGULATOR.tolist())
def test_all_genes_see_a_regulator(branch: GeneBranch, gene_emb: torch.Tensor, changed: int) -> None:
    assert moved_genes(branch, gene_emb, changed) == list(range(G))


def test_permuting_genes_permutes_states(branch: GeneBranch, gene_emb: torch.Tensor) -> None:
    order = torch.randperm(G)
    expected = branch(gene_emb, REGULATOR)[order]
    torch.testing.assert_close(branch(gene_emb[order], order.argsort()[REGULATOR]), expected, **CLOSE)


def test_order_of_regulators_does_not_matter(branch: GeneBranch, gene_emb: torch.Tensor) -> None:
    torch.testing.assert_close(branch(gene_emb, REGULATOR.flip(0)), branch(gene_emb, REGULATOR), **CLOSE)


def test_with_all_genes_as_regulators_it_is_a_transformer_encoder(gene_emb: torch.Tensor) -> None:
    branch = GeneBranch(D, n_heads=H, n_kv_latent=D, n_layers=1)
    layer = nn.TransformerEncoderLayer(D, H, dim_feedforward=4 * D, dropout=0, activation="gelu", batch_first=True)
    block, attn = branch.blocks[0], branch.blocks[0].attn
    with torch.no_grad():
        key, value = (up.weight @ attn.down_proj.weight for up in (attn.key_up_proj, attn.value_up_proj))
        layer.self_attn.in_proj_weight.copy_(torch.cat([attn.query_proj.weight, key, value]))
        biases = [attn.query_proj.bias, attn.key_up_proj.bias, attn.value_up_proj.bias]
        layer.self_attn.in_proj_bias.copy_(torch.cat(biases))
    layer.self_attn.out_proj.load_state_dict(attn.out_proj.state_dict())
    layer.linear1.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[3].state_dict())
    torch.testing.assert_close(branch(gene_emb, torch.arange(G)), layer(gene_emb), **CLOSE)


def test_dropout_acts_only_while_training(gene_emb: torch.Tensor) -> None:
    branch = GeneBranch(D, n_heads=H, n_kv_latent=C, n_layers=1, dropout_rate=0.5)
    assert not torch.equal(branch(gene_emb, REGULATOR), branch(gene_emb, REGULATOR))
    branch.eval()
    assert torch.equal(branch(gene_emb, REGULATOR), branch(gene_emb, REGULATOR))
