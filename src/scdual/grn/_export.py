"""Write a network for other programs: one function, one writer for each format.

Dimension key
    E  edges
"""

import unicodedata
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from scdual._checks import check_choice, check_type, listed
from scdual._installed import check_installed
from scdual._spreadsheet import to_csv
from scdual._types import FORMAT_OF_SUFFIX, NetworkFormat
from scdual._writing import write_file, write_hdf5
from scdual.grn._mutual import is_mutual, one_line_per_mutual_pair
from scdual.grn._network import RegulatoryNetwork, check_network
from scdual.grn._symbols import GeneSymbols

_TABLES = ("csv", "tsv")  # which have room for symbols beside the names
_WORD = {1: "activates", -1: "represses"}
_MUTUAL_WORD = {1: "goes_with", -1: "goes_against"}
_SIGN = {1: "+", -1: "-"}  # as pySCENIC names its regulons


def write_network(
    network: RegulatoryNetwork,
    path: str | PathLike[str],
    *,
    format: NetworkFormat | None = None,
    gene_symbols: GeneSymbols | None = None,
    dataset_id: str = "unknown",
    method_id: str = "scdual",
) -> None:
    """Write the edges of a network to a file; a file that is there is replaced once the new one is whole.

    Prune first, ``network.top(2000)``: most programs expect a sparse network.

    Parameters
    ----------
    network
        The network.
    path
        File to write.
    format
        One of the following; None goes by the end of the file's name.

        * ``'csv'``, ``'tsv'`` - the table of :meth:`~scdual.grn.RegulatoryNetwork.to_frame`, evidence included; from ``.csv``
          and ``.tsv``
        * ``'decoupler'`` - a CSV file with decoupler's columns ``source, target, weight`` and no others
        * ``'graphml'`` - nodes with ``is_regulator``; edges with ``weight``, ``interaction``, what is known as evidence, and
          ``mutual``, which marks edges that run back with the same sign, so that their direction is not known; from
          ``.graphml``
        * ``'sif'`` - Cytoscape's lines ``source, interaction, target``: ``activates`` or ``represses``, and once for edges back
          and forth with one sign ``goes_with`` or ``goes_against``; from ``.sif``
        * ``'gmt'`` - gene sets, one for each regulator and sign, named ``SPI1(+)`` and ``SPI1(-)``, the strongest target
          first; from ``.gmt``
        * ``'generrnib'`` - an AnnData file as geneRNIB reads it, with the table in ``uns["prediction"]``; from ``.h5ad``. It
          looks at the 50,000 strongest edges.
    gene_symbols
        Where genes are ids: their symbols, as in :meth:`~scdual.grn.RegulatoryNetwork.to_frame`. In ``'csv'`` and ``'tsv'``
        they stand in columns of their own, elsewhere in place of the ids.
    dataset_id, method_id
        What geneRNIB's file says they are.

    Raises
    ------
    TypeError
        If ``network`` is no network, or ``gene_symbols`` no symbols.
    KeyError
        If there is no such column of symbols.
    ValueError
        If the format is unknown, there is no edge, no gene has a symbol, or a name cannot be written in it.
    ModuleNotFoundError
        If networkx, which writes GraphML, is not installed.
    OSError
        If the file cannot be written.
    """
    check_network(network, name="network")
    check_type("path", path, str, PathLike)
    check_type("dataset_id", dataset_id, str)
    check_type("method_id", method_id, str)
    chosen = format_of(path) if format is None else format
    check_choice("format", chosen, get_args(NetworkFormat))
    if chosen in _TABLES:
        edges = network.to_frame(gene_symbols=gene_symbols)
    else:
        edges = (network if gene_symbols is None else network.with_symbols(gene_symbols)).to_frame()
    if edges.empty:
        msg = (
            f"Found no edge to write in {network!r}, expected one or more that stand out of their errors. Learn the network "
            "from more cells or of other regulators, or pass another."
        )
        raise ValueError(msg)
    if chosen == "generrnib":
        _write_generrnib(edges, path, dataset_id=dataset_id, method_id=method_id)
        return
    if chosen == "graphml":
        check_installed("networkx")
    if chosen in ("graphml", "sif", "gmt"):
        _check_one_line([*edges["source"].unique(), *edges["target"].unique()], chosen)
    with write_file(path) as part:
        _WRITERS[chosen](edges, part)


def format_of(path: str | PathLike[str]) -> NetworkFormat:
    """Return the format that the end of a file's name stands for.

    Raises
    ------
    ValueError
        If it stands for none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMAT_OF_SUFFIX:
        msg = (
            f"{path} ends with {suffix or 'no suffix'!r}, expected one of {listed(FORMAT_OF_SUFFIX)}. Give it one of these, or "
            "name the `format`."
        )
        raise ValueError(msg)
    return FORMAT_OF_SUFFIX[suffix]


def _check_one_line(names: Iterable[str], chosen: str) -> None:
    """Raise ``ValueError`` if a name holds characters that end a field or a line, or that XML does not know."""
    broken = [name for name in names if any(unicodedata.category(letter) == "Cc" for letter in name)]
    if broken:
        msg = f"The gene name {broken[0]!r} holds control characters, which {chosen!r} cannot hold. Rename the gene."
        raise ValueError(msg)


def _write_table(edges: pd.DataFrame, path: Path) -> None:
    to_csv(edges, path)


def _write_tsv(edges: pd.DataFrame, path: Path) -> None:
    to_csv(edges, path, separator="\t")


def _write_decoupler(edges: pd.DataFrame, path: Path) -> None:
    to_csv(edges[["source", "target", "weight"]], path)


def _write_graphml(edges: pd.DataFrame, path: Path) -> None:
    import networkx as nx

    table = edges.assign(interaction=np.sign(edges["weight"]).map(_WORD), mutual=is_mutual(edges))
    graph = nx.DiGraph()
    regulators = set(edges["source"])
    for gene in dict.fromkeys([*edges["source"], *edges["target"]]):
        graph.add_node(gene, is_regulator=gene in regulators)
    names = [name for name in table.columns if name not in ("source", "target")]
    for source, target, *values in table[["source", "target", *names]].astype(object).itertuples(index=False):
        plain = (value.item() if isinstance(value, np.generic) else value for value in values)
        graph.add_edge(source, target, **dict(zip(names, plain, strict=True)))
    nx.write_graphml_xml(graph, path)


def _write_sif(edges: pd.DataFrame, path: Path) -> None:
    lines = one_line_per_mutual_pair(edges)
    sign = np.sign(lines["weight"])
    word = sign.map(_WORD).where(~lines["is_mutual"], sign.map(_MUTUAL_WORD))
    rows = zip(lines["source"], word, lines["target"], strict=True)
    _write_lines(rows, path)


def _write_gmt(edges: pd.DataFrame, path: Path) -> None:
    sign = np.sign(edges["weight"]).astype(int)
    rows = []
    for (source, one_sign), targets in edges.groupby(["source", sign], sort=False)["target"]:
        by = "activated" if one_sign > 0 else "repressed"
        rows.append((f"{source}({_SIGN[one_sign]})", f"{by}_by_{source}", *targets))  # decoupler splits at spaces
    _write_lines(rows, path)


def _write_lines(rows: Iterable[Iterable[str]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def _write_generrnib(edges: pd.DataFrame, path: str | PathLike[str], *, dataset_id: str, method_id: str) -> None:
    from anndata import AnnData
    from anndata.io import write_elem

    table = edges[["source", "target", "weight"]]
    table = table.astype({"source": object, "target": object}).assign(weight=table["weight"].map(str).astype(object))
    adata = AnnData(
        uns={"dataset_id": dataset_id, "method_id": method_id, "prediction": table.set_axis(table.index.map(str))}
    )
    with write_hdf5(path) as file:
        write_elem(file, "/", adata)


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": _write_table,
    "tsv": _write_tsv,
    "decoupler": _write_decoupler,
    "graphml": _write_graphml,
    "sif": _write_sif,
    "gmt": _write_gmt,
}
