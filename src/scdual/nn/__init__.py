"""Network parts, each one concept of the model."""

from scdual.nn._attention import FeedForward, MultiHeadLatentAttention, TransformerBlock
from scdual.nn._covariates import CovariateEffects
from scdual.nn._decoder import CountDecoder, RegulationDecoder
from scdual.nn._embedding import ExpressionEmbedding, GeneEmbedding
from scdual.nn._expression_branch import ExpressionBlock, ExpressionBranch, GeneContext, NetworkMaps, RegulatorValues
from scdual.nn._gate import SignedGate
from scdual.nn._gene_branch import GeneBranch
from scdual.nn._latent_prior import LatentPrior, kl_to_prior
from scdual.nn._pooling import LatentPooling, PosteriorHead, Tokens
from scdual.nn._positions import positions
from scdual.nn._sparse_product import Places, sparse_product

__all__ = [
    "CountDecoder",
    "CovariateEffects",
    "ExpressionBlock",
    "ExpressionBranch",
    "ExpressionEmbedding",
    "FeedForward",
    "GeneBranch",
    "GeneContext",
    "GeneEmbedding",
    "LatentPooling",
    "LatentPrior",
    "MultiHeadLatentAttention",
    "NetworkMaps",
    "Places",
    "PosteriorHead",
    "RegulationDecoder",
    "RegulatorValues",
    "SignedGate",
    "Tokens",
    "TransformerBlock",
    "kl_to_prior",
    "positions",
    "sparse_product",
]
