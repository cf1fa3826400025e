"""The regulation decoder adds intercept, covariates and contribution, target by target."""

import torch
from torch import nn

from scdual.nn import RegulationDecoder

B, G, U = 4, 12, 3
TARGET = torch.tensor([7, 0, 11])


def test_prediction_is_the_sum_of_its_parts() -> None:
    decoder = RegulationDecoder(G, U)
    nn.init.normal_(decoder.intercept)
    nn.init.normal_(decoder.covariate_effect)
    contribution, covariates = torch.randn(B, len(TARGET)), torch.randn(B, U)
    found = decoder(contribution, covariates, TARGET)
    for b in range(B):
        for t, gene in enumerate(TARGET.tolist()):
            covariate_part = sum(covariates[b, u] * decoder.covariate_effect[u, gene] for u in range(U))
            torch.testing.assert_close(found[b, t], decoder.intercept[gene] + covariate_part + contribution[b, t])


def test_only_regulators_speak_at_the_start() -> None:
    contribution = torch.randn(B, len(TARGET))
    torch.testing.assert_close(RegulationDecoder(G, U)(contribution, torch.randn(B, U), TARGET), contribution)
