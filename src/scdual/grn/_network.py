"""A signed regulatory network with gene names.

Dimension key
    R  regulator genes (rows)      T  target genes (columns)
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from scdual._checks import check_choice, check_share, check_type, check_whole
from scdual.grn._edges import edges_to_frame, strongest_edges
from scdual.grn._evidence import EdgeEvidence, check_evidence
from scdual.grn._names import name_positions, unique_names
from scdual.grn._pair_values import as_weights, sealed
from scdual.grn._sparse import edges_to_csr
from scdual.grn._symbols import GeneSymbols, symbols_of, text_columns, unique_symbols


@dataclass(frozen=True, eq=False, repr=False)
class RegulatoryNetwork:
    """Hold the signed edges of one group of cells, with the names of their genes.

    Positive weights activate, negative weights repress, zero means no edge; the size is the strength.
    The network keeps read-only copies, so later changes to the caller's arrays do not reach it; arrays that are read-only
    already are kept as they are.

    Parameters
    ----------
    weight
        Signed weights, shape ``(R, T)``: row = regulator, column = target. Kept as ``float32``.
    regulators
        Names of the ``R`` rows, unique.
    targets
        Names of the ``T`` columns, unique. A gene may be both regulator and target.
    group
        Name of the group of cells the network belongs to, if any.
    evidence
        How sure each edge is, if that is known.
    var
        Table of the genes by name, such as ``adata.var``, whose columns of text ``gene_symbols=`` can name. Networks of a
        model have that of its data.

    Raises
    ------
    TypeError
        If ``weight`` is no array of numbers, ``group`` no text, ``evidence`` no :class:`EdgeEvidence` or ``var`` no table.
    ValueError
        If the shapes disagree, a weight is not finite, a name is missing or repeated, a gene regulates itself, or the
        evidence of an edge is out of its range, such as a ``support`` above 1.

    Notes
    -----
    The weights are associations. They become causal claims only with perturbation data.
    """

    weight: np.ndarray
    regulators: pd.Index
    targets: pd.Index
    group: str | None = None
    evidence: EdgeEvidence | None = None
    var: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        regulators = unique_names(self.regulators, role="regulators")
        targets = unique_names(self.targets, role="targets")
        check_type("group", self.group, str, optional=True)
        check_type("evidence", self.evidence, EdgeEvidence, optional=True)
        check_type("var", self.var, pd.DataFrame, optional=True)
        weight = as_weights(self.weight, regulators, targets)
        evidence = None if self.evidence is None else self.evidence.frozen()
        if evidence is not None:
            check_evidence(evidence, weight)
        var = None if self.var is None else text_columns(self.var)
        checked = {"weight": weight, "regulators": regulators, "targets": targets, "evidence": evidence, "var": var}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        group = "" if self.group is None else f", group={self.group!r}"
        share = f" ({np.count_nonzero(self.weight > 0) / self.n_edges:.0%} activating)" if self.n_edges else ""
        size = f"{len(self.regulators)} regulators x {len(self.targets)} targets"
        return f"RegulatoryNetwork({size}, {self.n_edges} edges{share}{group})"

    @property
    def genes(self) -> pd.Index:
        """Names of all genes: the targets, then regulators that are no targets."""
        return self.targets.append(self.regulators[~self.regulators.isin(self.targets)])

    @property
    def n_edges(self) -> int:
        """Number of edges, that is of non-zero weights."""
        return int(np.count_nonzero(self.weight))

    def to_frame(self, top: int | None = None, *, gene_symbols: GeneSymbols | None = None) -> pd.DataFrame:
        """Return the edges as a table ``source, target, weight``, the strongest first.

        Of ``sd, support, q_value, n_cells`` those that are known follow, see :class:`EdgeEvidence`;
        :func:`~scdual.grn.from_frame` reads them back. Ties are ordered by source, then target. decoupler and networkx
        read the table as it is. Between two regulators the table has a row for either direction, with nearly the same weight:
        expression alone does not tell which of them acts, so take the two for one association.

        Parameters
        ----------
        top
            Number of edges to keep; ``None`` keeps all.
        gene_symbols
            Where genes are ids: column of :attr:`var` with their symbols, or the symbols by name, such as
            ``adata.var["gene_symbols"]``. They stand in columns ``source_symbol`` and ``target_symbol``.
            :meth:`with_symbols` puts them in place of the ids.

        Raises
        ------
        TypeError
            If ``top`` is no whole number, or ``gene_symbols`` neither text nor symbols by name.
        KeyError
            If there is no such column.
        ValueError
            If ``top`` is negative, or no gene has a symbol.
        """
        check_whole("top", top, at_least=0, optional=True)
        symbols = None
        if gene_symbols is not None:
            symbol = pd.Series(symbols_of(self.genes, gene_symbols, self.var), index=self.genes)
            symbols = {"source": pd.Index(symbol[self.regulators]), "target": pd.Index(symbol[self.targets])}
        return edges_to_frame(self._matrices(), self.regulators, targets=self.targets, top=top, symbols=symbols)

    def with_symbols(self, gene_symbols: GeneSymbols) -> "RegulatoryNetwork":
        """Return the network with symbols as the names of its genes, for tables, pictures and tools that know symbols.

        A gene without a symbol keeps its name; where several genes share one, the name stands behind it.

        Parameters
        ----------
        gene_symbols
            Column of :attr:`var` with the symbols, or the symbols by gene name, such as ``adata.var["gene_symbols"]``.

        Raises
        ------
        TypeError
            If it is neither text nor symbols by name.
        KeyError
            If there is no such column.
        ValueError
            If no gene has a symbol, or a name occurs twice.
        """
        symbol = pd.Series(unique_symbols(self.genes, gene_symbols, self.var), index=self.genes)
        return replace(
            self, regulators=pd.Index(symbol[self.regulators]), targets=pd.Index(symbol[self.targets]), var=None
        )

    def to_varp(self, var_names: Iterable[str] | None = None, values: str = "weight") -> csr_matrix:
        """Return the edges as a matrix for ``adata.varp``, shape ``(n_vars, n_vars)``, row = regulator.

        Rows of genes that are no regulators are empty. Only edges are stored; their evidence may be 0, their weight is not.

        Parameters
        ----------
        var_names
            Gene names in the wanted order; ``None`` means the targets.
        values
            What to store of each edge: ``'weight'``, or its evidence, such as ``'sd'`` and ``'support'``, where it is known.
            :func:`~scdual.grn.from_varp` reads these three back.

        Raises
        ------
        ValueError
            If a regulator or target is not in ``var_names``, or the network does not have these values.
        """
        matrices = self._matrices()
        check_choice("values", values, matrices)
        names = self.targets if var_names is None else unique_names(var_names, role="var_names")
        row_of = name_positions(self.regulators, names, role="regulators", where="`var_names`")
        column_of = name_positions(self.targets, names, role="targets", where="`var_names`")
        return edges_to_csr(matrices[values], self.weight, row_of=row_of, column_of=column_of, n_genes=len(names))

    def _matrices(self) -> dict[str, np.ndarray]:
        """Return weights and evidence by name, each ``(R, T)``."""
        return {"weight": self.weight, **({} if self.evidence is None else self.evidence.columns())}

    def subset(
        self, regulators: Iterable[str] | None = None, targets: Iterable[str] | None = None
    ) -> "RegulatoryNetwork":
        """Return the network of these regulators and targets, in this order; ``None`` keeps all.

        Raises
        ------
        ValueError
            If a name is unknown or repeated.
        """
        rows = self.regulators if regulators is None else unique_names(regulators, role="regulators")
        columns = self.targets if targets is None else unique_names(targets, role="targets")
        row = name_positions(rows, self.regulators, role="regulators", where="the regulators of this network")
        column = name_positions(columns, self.targets, role="targets", where="the targets of this network")
        evidence = None if self.evidence is None else self.evidence.subset(row, column)
        weight = sealed(self.weight[np.ix_(row, column)])
        return RegulatoryNetwork(weight, rows, columns, self.group, evidence, self.var)

    def top(self, n: int, sign: Literal[1, -1] | None = None) -> "RegulatoryNetwork":
        """Return the network with only its ``n`` strongest edges; ties are kept in the order of names.

        Parameters
        ----------
        n
            Number of edges to keep; a larger number than there are keeps all.
        sign
            Keep only activating (1) or only repressing (-1) edges.

        Raises
        ------
        TypeError
            If ``n`` is no whole number.
        ValueError
            If ``n`` is negative or ``sign`` is neither 1, -1 nor ``None``.
        """
        check_whole("n", n, at_least=0)
        check_choice("sign", sign, (1, -1, None))
        eligible = self.weight if sign is None else np.where(self.weight * sign > 0, self.weight, 0)
        row, column = strongest_edges(eligible, self.regulators, targets=self.targets, n=n)
        weight = np.zeros_like(self.weight)
        weight[row, column] = self.weight[row, column]
        return replace(self, weight=sealed(weight))

    def called(self, fdr: float = 0.05) -> "RegulatoryNetwork":
        """Return the network with only the edges called at this false discovery rate.

        Parameters
        ----------
        fdr
            Largest share of the called edges that may be false, between 0 and 1. False means that permuted data give
            an edge as strong; an edge that is there may still be indirect.

        Raises
        ------
        ValueError
            If the network has no q values, or ``fdr`` is not between 0 and 1.
        """
        check_share("fdr", fdr)
        if self.evidence is None or self.evidence.q_value is None:
            msg = (
                "The network has no `q_value` of its edges; call `model.train_ensemble()`, then `get_regulation` again."
            )
            raise ValueError(msg)
        return replace(self, weight=sealed(np.where(self.evidence.q_value <= fdr, self.weight, 0)))

    def supported(self, support: float = 0.95) -> "RegulatoryNetwork":
        """Return the network with only the edges whose sign has at least this support.

        Parameters
        ----------
        support
            Smallest probability that the sign is right (1 - local false sign rate), between 0 and 1; with an ensemble
            the smallest share of the halves of the cells that agree on the sign. See :class:`EdgeEvidence`. A right
            sign is no proof of a direct edge.

        Raises
        ------
        ValueError
            If the network has no evidence, or ``support`` is not between 0 and 1.
        """
        check_share("support", support)
        if self.evidence is None:
            msg = (
                "The network has no `support` of its edges; take the network from `get_regulation`, if need be after "
                "`model.train_ensemble()`, or a table with the columns 'sd' and 'support'."
            )
            raise ValueError(msg)
        return replace(self, weight=sealed(np.where(self.evidence.support >= support, self.weight, 0)))


def check_network(network: RegulatoryNetwork, *, name: str | None = None) -> RegulatoryNetwork:
    """Return the network.

    Parameters
    ----------
    network
        What was passed.
    name
        Name of the argument.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(network, RegulatoryNetwork):
        return network
    advice = "Pass what `get_regulation` returns."
    if isinstance(network, dict) and network:
        advice = f"Pass one of its values, such as that of {next(iter(network))!r}."
    if isinstance(network, pd.DataFrame):
        advice = (
            "Call `scdual.grn.from_frame(table, targets, regulators=regulators)` with all genes that were looked at, "
            "for a table does not say where an edge could have been."
        )
    found = "Found a" if name is None else f"`{name}` is a"
    msg = f"{found} {type(network).__name__}, expected a RegulatoryNetwork. {advice}"
    raise TypeError(msg)
