"""Names of everything SCDual writes or logs, in one place."""

from typing import NamedTuple


class _ResultKeys(NamedTuple):
    """Where `SCDual.annotate` puts its results."""

    LATENT: str = "X_scdual"
    REGULATION: str = "scdual_regulation"
    ATTENTION: str = "scdual_attention"
    GATE: str = "scdual_gate"
    GENE_EMBEDDING: str = "scdual_gene_embedding"
    REGULATOR: str = "scdual_regulator"
    PARAMETERS: str = "scdual"


class _LossKeys(NamedTuple):
    """Loss terms beside the ELBO; each has a `_train` and a `_validation` column in `history`."""

    REGULATION: str = "regulation_loss"
    SPARSITY: str = "edge_sparsity"
    PRIOR: str = "prior_disagreement"
    CLASSIFICATION: str = "classification_loss"


RESULT_KEYS = _ResultKeys()
LOSS_KEYS = _LossKeys()

ORIENTATION = "row = regulator, column = target"


def regulation_key(group: str) -> str:
    """Return the key in ``varp`` of a group's network; HDF5 would take a slash in it for a folder."""
    return f"{RESULT_KEYS.REGULATION}_{group.replace('/', '|')}"
