"""Say of each transcription factor what became of it: whether it may regulate, and if not, why.

Dimension key
    C  cells      G  genes      F  factors
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS

from scdual._checks import check_choice, check_names
from scdual._types import Organism
from scdual.data._counts import is_constant, n_cells_expressing
from scdual.data._factor_names import FactorLookup, spelled_factor
from scdual.data._regulators import guess_organism, symbols_among, transcription_factors
from scdual.model._regulation import RegulationMixin

ADVICE = {
    "used": "",
    "too few cells": "It gets no edges; more cells, or a lower `min_cells`, would help.",
    "constant": "Every cell has the same count, so nothing can go with it; what varies is depth.",
    "not chosen": "Name it in `regulators=`, or choose by organism.",
    "name differs": "Rename the gene, or name it as the data do in `regulators=`.",
    "removed before": "Keep it when genes are chosen: `scdual.pp.select_genes(adata, keep=...)`.",
    "not in the annotation": "Check its name and the organism; the reads were not counted for it.",
}
"""What may be said of a factor, and what to do about it."""


class _Genes(NamedTuple):
    """Genes of a table, with their symbols and in how many cells each is expressed."""

    names: list[str]
    symbols: list[str]
    n_cells: np.ndarray

    @classmethod
    def of(cls, names: Any, var: pd.DataFrame, counts: Any) -> "_Genes":
        names = [str(name) for name in names]
        symbols = symbols_among(names, var) or names
        return cls(
            names, [symbol or name for symbol, name in zip(symbols, names, strict=True)], n_cells_expressing(counts)
        )


_Row = tuple[str, _Genes | None, int]


class RegulatorReportMixin(RegulationMixin):
    """The method of SCDual that tells what became of each transcription factor."""

    def regulator_report(
        self, factors: Sequence[str] | None = None, *, organism: Organism | None = None
    ) -> pd.DataFrame:
        """Return one row per transcription factor: whether it may regulate, and if not, why.

        Parameters
        ----------
        factors
            Factors to look for, by whatever name, such as ``["SPI1", "T-bet"]``. None lists the regulators of the model and
            all transcription factors that the families of the organism know among the genes of the data and, if it is
            there, of ``adata.raw``.
        organism
            Whose transcription factors to list; None guesses from the gene names, and lists the regulators alone if that
            fails.

        Returns
        -------
        Table with the index ``factor``, shape ``(F, 4)``, in the order of the following:

        * ``status`` - categories, what became of it:

          - ``used`` - it may regulate
          - ``too few cells`` - fewer than ``min_cells`` of the model express it
          - ``constant`` - every cell has the same count
          - ``not chosen`` - it is in the data, but not among the regulators of the model
          - ``name differs`` - it is in the data under other capitals, with a prefix or suffix, or by an alias
          - ``removed before`` - it is in ``adata.raw``, not among the genes of the data
          - ``not in the annotation`` - it is in neither

        * ``gene`` - its name in the data, or in ``adata.raw``
        * ``n_cells`` - cells that express it there
        * ``advice`` - what to do

        Raises
        ------
        TypeError, ValueError
            If ``factors`` are no different names, the organism is unknown, or the model has no data.
        """
        wanted = None if factors is None else check_names("factors", factors)
        check_choice("organism", organism, (*get_args(Organism), None))
        data = self._validate_anndata()
        rna: AnnData = data.mod[self._rna_modality] if isinstance(data, MuData) else data
        counts = self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        genes = _Genes.of(self.gene_names, rna.var, counts)
        raw = None if rna.raw is None else _Genes.of(rna.raw.var_names, rna.raw.var, rna.raw.X)
        organism = guess_organism(genes.symbols) if organism is None else organism
        wanted = self._listed_factors(genes, raw, organism) if wanted is None else wanted
        here, before = FactorLookup(genes.symbols), FactorLookup([] if raw is None else raw.symbols)
        use = self._use_of_genes(genes, counts)
        rows: list[_Row] = []
        for factor in wanted:
            found, old = here.find(factor), before.find(factor)
            if found is not None:
                status = use[found.position]
                differs = status == "not chosen" and not found.is_same
                rows.append(("name differs" if differs else status, genes, found.position))
            elif old is not None:
                rows.append(("removed before", raw, old.position))
            else:
                rows.append(("not in the annotation", None, -1))
        return _table(wanted, rows)

    def _listed_factors(self, genes: _Genes, raw: _Genes | None, organism: Organism | None) -> list[str]:
        """Return the regulators, by symbol, and what the families of the organism know among the genes."""
        symbol = dict(zip(genes.names, genes.symbols, strict=True))
        listed = [symbol[name] for name in self.regulators]
        if organism is not None:
            for symbols in (genes.symbols, [] if raw is None else raw.symbols):
                is_factor = transcription_factors(symbols, organism)
                listed += [name for name, is_one in zip(symbols, is_factor, strict=True) if is_one]
                spelled = (
                    spelled_factor(name, organism)
                    for name, is_one in zip(symbols, is_factor, strict=True)
                    if not is_one
                )
                listed += [name for name in spelled if name is not None]
        return list(dict.fromkeys(listed))

    def _use_of_genes(self, genes: _Genes, counts: Any) -> np.ndarray:
        """Return the status of each gene of the model, ``(G,)``."""
        use = np.full(len(genes.names), "not chosen", dtype=object)
        regulator = pd.Index(genes.names).get_indexer(self.regulators)
        use[regulator] = "used"
        use[regulator[is_constant(counts)[regulator]]] = "constant"
        use[regulator[genes.n_cells[regulator] < self.module.map.min_cells]] = "too few cells"
        return use


def _table(factors: list[str], rows: list[_Row]) -> pd.DataFrame:
    """Return the report of factors with their status, the genes among which they are, and their position there."""
    status = pd.Categorical([row[0] for row in rows], categories=list(ADVICE), ordered=True)
    columns = {
        "status": status,
        "gene": pd.Series([None if genes is None else genes.names[place] for _, genes, place in rows], dtype=object),
        "n_cells": pd.array(
            [None if genes is None else genes.n_cells[place] for _, genes, place in rows], dtype="Int64"
        ),
        "advice": [ADVICE[row[0]] for row in rows],
    }
    table = pd.DataFrame(columns).set_axis(pd.Index(factors, name="factor"))
    return table.sort_values(["status", "n_cells"], ascending=[True, False], kind="stable", na_position="last")
