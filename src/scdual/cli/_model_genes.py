"""Cut cells down to the genes of a saved model."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData


def with_genes_of_model(adata: "AnnData", folder: Path) -> "AnnData":
    """Return the cells with the genes of the model, in its order, if all of them are there; otherwise as they are.

    The input of ``scdual fit --n-top-genes`` has more genes than its model. As after the fit, all of them stay in ``raw``.
    """
    import pandas as pd

    from scdual.model import SCDual

    genes = pd.Index(SCDual.prepare_query_anndata(adata, str(folder), return_reference_var_names=True))
    if genes.equals(adata.var_names) or not adata.var_names.is_unique or not genes.isin(adata.var_names).all():
        return adata
    if adata.raw is None:
        adata.raw = adata
    return adata[:, genes].copy()
