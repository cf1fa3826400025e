"""Choose the genes of a model: those that vary, and the regulators that variance alone would lose.

Dimension key
    C  cells      G  genes
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scdual._checks import check_column, check_flag, check_type, check_whole
from scdual._constants import KEPT_KEY
from scdual.data._counts import check_counts, n_cells_expressing
from scdual.data._fields import check_unique
from scdual.data._regulators import kept_positions
from scdual.data._rows import read_rows
from scdual.data._variable_genes import variable_genes


def select_genes(
    adata: AnnData,
    n_top_genes: int = 2000,
    keep: str | Sequence[str] | None = "regulators",
    *,
    min_cells: int = 10,
    batch_key: str | None = None,
    layer: str | None = None,
    require_counts: bool = True,
    subset: bool = False,
    inplace: bool = True,
) -> pd.DataFrame | None:
    """Mark the genes that vary most and the regulators among the others, as :func:`scanpy.pp.highly_variable_genes` does.

    Transcription factors are of low abundance and vary little, so a choice by variance alone leaves few of them, and the
    map can hold only genes that are there. They come in addition to the ``n_top_genes`` variable ones.

    Parameters
    ----------
    adata
        Cells by genes with raw counts.
    n_top_genes
        Number of variable genes, by the variance of their Pearson residuals :cite:p:`Lause21`, for which scanpy needs no
        further package.
    keep
        Genes to keep although they vary less:

        * ``'regulators'`` - transcription factors of the organism, which is guessed from the gene names; if that fails,
          none, with a warning
        * ``'human'``, ``'mouse'`` - transcription factors of that organism
        * a list of gene names, or the name of a boolean column of ``var``
        * None - none

        Of regulators chosen by organism, those in fewer than ``min_cells`` cells are left out; genes that were named are
        kept whatever they are.
    min_cells
        Cells in which a gene has to be expressed. Of a regulator in fewer than ten the counts say hardly anything: in 2,638
        blood cells 3 of 30 such regulators have an edge whose sign is sure, of those in fifty or more 81 of 98.
    batch_key
        Column of ``obs`` within whose groups genes are ranked, so that genes that differ between batches only are not
        chosen for that.
    layer
        Layer that holds the counts; None takes ``X``.
    require_counts
        Whether values that are no integers are an error, as in :meth:`~scdual.model.SCDual.setup_anndata`.
    subset
        Whether to cut ``adata`` down to the marked genes, in place.
    inplace
        Whether to write the marks; False returns them as a table and leaves ``adata`` as it is.

    Returns
    -------
    None, or with ``inplace=False`` the table. Columns of ``var``, or of the table:

    * ``highly_variable`` - the genes to take: ``adata[:, adata.var["highly_variable"]]``
    * ``scdual_kept`` - those of them that are there as regulators only
    * ``highly_variable_rank``, ``means``, ``variances``, ``residual_variances`` and, with ``batch_key``,
      ``highly_variable_nbatches``, ``highly_variable_intersection`` - as scanpy writes them; missing for genes in too few
      cells

    Raises
    ------
    TypeError
        If ``adata`` is no AnnData, or an argument of the wrong type.
    KeyError
        If the layer or the column does not exist.
    ValueError
        If values are no counts, gene names repeat, a number is out of range, names to keep are not in the data, or
        no gene is expressed in ``min_cells`` cells, or ``subset`` is asked of a file on disk.
    """
    check_flag("require_counts", require_counts)
    counts = _checked_counts(adata, layer, require_counts=require_counts)
    check_whole("n_top_genes", n_top_genes, at_least=1)
    check_whole("min_cells", min_cells, at_least=0)
    check_type("batch_key", batch_key, str, optional=True)
    if batch_key is not None:
        check_column("batch_key", batch_key, adata.obs.columns)
    check_flag("subset", subset)
    check_flag("inplace", inplace)
    if subset and inplace and adata.isbacked:
        msg = "`subset` is True, but `adata` is a file on disk, whose genes cannot be cut in place. Read it with `adata.to_memory()`, or leave out `subset`."
        raise ValueError(msg)
    n_cells = n_cells_expressing(counts)
    kept = kept_positions(keep, adata.var_names, adata.var, is_seen=n_cells >= max(min_cells, 1))
    gene = np.flatnonzero(n_cells >= max(min_cells, 1))
    if not len(gene):
        msg = (
            f"No gene is expressed in `min_cells={min_cells}` of the {adata.n_obs} cells; the most frequent is in "
            f"{n_cells.max()}. Lower `min_cells`."
        )
        raise ValueError(msg)
    batch = None if batch_key is None else _batch(adata.obs[batch_key], batch_key)
    found = variable_genes(counts[:, gene], n_top_genes=n_top_genes, batch=batch)
    table = found.set_axis(adata.var_names[gene]).reindex(adata.var_names)
    is_variable = np.isin(np.arange(adata.n_vars), gene[found["highly_variable"].to_numpy()])
    is_kept = np.isin(np.arange(adata.n_vars), kept) & ~is_variable
    table = table.assign(**{"highly_variable": is_variable | is_kept, KEPT_KEY: is_kept})
    if not inplace:
        return table[table["highly_variable"].to_numpy()] if subset else table
    for name, values in table.items():
        adata.var[name] = values.to_numpy()
    adata.uns["hvg"] = {"flavor": "pearson_residuals", "computed_on": layer or "adata.X"}
    if subset:
        adata._inplace_subset_var(table["highly_variable"].to_numpy())
    return None


def _checked_counts(adata: AnnData, layer: str | None, *, require_counts: bool) -> Any:
    """Return the counts in memory, shape ``(C, G)``."""
    check_type("adata", adata, AnnData, advice="Of MuData, pass the RNA, such as `mdata.mod['rna']`.")
    check_type("layer", layer, str, optional=True)
    layers = [name for name in adata.layers if name is not None]  # anndata 0.13 lists X under None
    if layer is not None and layer not in layers:
        msg = f"Layer {layer!r} is not in `adata.layers`, which holds {layers}; name one of those."
        raise KeyError(msg)
    check_unique(adata.var_names)
    counts = adata.X if layer is None else adata.layers[layer]
    where = "adata.X" if layer is None else f"adata.layers[{layer!r}]"
    check_counts(counts, where, layers=layers, require_counts=require_counts)
    return read_rows(counts, slice(None))


def _batch(column: pd.Series, key: str) -> np.ndarray:
    n_missing = int(column.isna().sum())
    if n_missing:
        msg = f"Column {key!r} of `obs` has no value for {n_missing} of {len(column)} cells. Fill it in, or drop the cells."
        raise ValueError(msg)
    return column.to_numpy()
