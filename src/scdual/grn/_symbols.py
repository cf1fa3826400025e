"""Show genes by their symbols where their names are ids."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd

from scdual._checks import check_column, listed, shown
from scdual.grn._names import as_names

GeneSymbols: TypeAlias = str | pd.Series | Mapping[str, str]


def text_columns(var: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of the columns of a table of genes that may hold symbols, which numbers and flags do not."""
    keep_mask = [not pd.api.types.is_numeric_dtype(kind) for kind in var.dtypes]
    return var.loc[:, keep_mask].copy()


def symbols_of(names: pd.Index, gene_symbols: GeneSymbols, var: pd.DataFrame | None) -> pd.Index:
    """Return the symbol of each gene; its name where it has none.

    Parameters
    ----------
    names
        Names of genes.
    gene_symbols
        A column of ``var``, or symbols by name, such as ``adata.var["gene_symbols"]``.
    var
        Table of genes by name, if there is one.

    Raises
    ------
    TypeError
        If ``gene_symbols`` is something else.
    KeyError
        If ``var`` has no such column.
    ValueError
        If there is no ``var``, a name occurs twice, or none of the genes has a symbol.
    """
    found = as_names(names)
    table = _by_name(gene_symbols, var)
    symbol = table.reindex(found)
    has_one = symbol.notna().to_numpy() & (symbol.astype(str).str.strip() != "").to_numpy()
    if len(found) and not has_one.any():
        msg = (
            f"`gene_symbols` has a symbol for none of the {len(found)} genes, which look like {listed(found[:3])}, while it "
            f"knows {listed(table.index[:3])}. Pass a column of the `var` of the same data."
        )
        raise ValueError(msg)
    return pd.Index(found.where(~has_one, as_names(symbol.where(has_one, "")).str.strip()), dtype=str)


def unique_symbols(names: pd.Index, gene_symbols: GeneSymbols, var: pd.DataFrame | None) -> pd.Index:
    """Return a symbol for each gene, with the name behind it where several genes share one: ``TBCE (ENSG00000285053)``.

    Arguments and errors are those of :func:`symbols_of`.
    """
    symbol = symbols_of(names, gene_symbols, var)
    is_shared = symbol.duplicated(keep=False)
    return symbol.where(~is_shared, symbol + " (" + as_names(names) + ")")


def _by_name(gene_symbols: Any, var: pd.DataFrame | None) -> pd.Series:
    """Return symbols with the names of genes as index, as text."""
    if isinstance(gene_symbols, str):
        if var is None:
            msg = (
                f"`gene_symbols` is the column {gene_symbols!r}, but the network was made without a table of its genes. "
                f"Pass the column itself: `adata.var[{gene_symbols!r}]`."
            )
            raise ValueError(msg)
        check_column("gene_symbols", gene_symbols, var.columns, table="var")
        gene_symbols = var[gene_symbols]
    if not isinstance(gene_symbols, pd.Series | Mapping):
        msg = (
            f"`gene_symbols` is {shown(gene_symbols)} of type {type(gene_symbols).__name__}, expected the name of a column of "
            "`var`, or symbols by gene name. Pass for example `adata.var['gene_symbols']`."
        )
        raise TypeError(msg)
    table = pd.Series(gene_symbols, dtype=object)
    table.index = as_names(table.index)
    if not table.index.is_unique:
        repeated = table.index[table.index.duplicated()].unique()
        msg = f"`gene_symbols` names {listed(repeated[:3])} more than once, expected one symbol for each gene. Drop the repeats."
        raise ValueError(msg)
    return table
