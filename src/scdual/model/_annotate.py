"""Write the results of a trained SCDual into the data.

Dimension key
    C  cells      G  genes      R  regulators
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix
from scvi import REGISTRY_KEYS

from scdual._checks import check_share
from scdual._constants import RESULT_KEYS, regulation_key
from scdual.data._counts import n_cells_expressing
from scdual.grn import RegulatoryNetwork
from scdual.model._cells import check_cells
from scdual.model._groups import group_cells
from scdual.model._map_memory import check_written
from scdual.model._parameters import run_parameters
from scdual.model._regulation import RegulationMixin
from scdual.model._results import Results, network_matrices, replace_results
from scdual.module.map import gate, mean_attention


class AnnotationMixin(RegulationMixin):
    """The method of SCDual that writes into the data."""

    @torch.inference_mode()
    def annotate(
        self,
        adata: AnnData | MuData | None = None,
        *,
        groupby: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        min_support: float = 0.0,
    ) -> None:
        """Write embedding, regulatory map and gene embedding into the data.

        The latent representation goes to ``obsm["X_scdual"]``; regulation, attention and gate to ``varp``, row =
        regulator and column = target, and beside the regulation the ``varp["scdual_sd"]`` and ``varp["scdual_support"]`` of
        its edges, see :class:`~scdual.grn.EdgeEvidence`; the gene embedding to ``varm``; the regulators and in how many cells
        each gene is expressed, ``scdual_n_cells``, to ``var``; and parameters and losses to ``uns["scdual"]``. Of MuData, ``obsm`` and ``uns`` are written at the top and the others to the RNA modality.
        After :meth:`train_map` alone, embeddings, attention and gate are left out.
        What an earlier call has written goes as a whole, and a call that fails changes nothing.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        groupby
            Column or columns of ``obs``, as in :meth:`get_regulation`; the regulation of each group is written as well,
            to ``varp["scdual_regulation_<group>"]``, and its evidence to ``varp["scdual_sd_<group>"]`` and
            ``varp["scdual_support_<group>"]``. In these keys ``/`` is written ``%2F``, a backslash ``%5C`` and
            ``%`` itself ``%25``; ``uns["scdual"]["groups"]`` has the name of the group of each key.
        batch_size
            Cells per minibatch.
        min_support
            Edges whose sign has less support are not written, nor their attention and gate. Of maps of many genes this
            keeps the file small, for of most edges little is known.

        Raises
        ------
        RuntimeError
            If the model is not trained, or was saved before edges carried evidence.
        KeyError
            If ``groupby`` is no column of ``obs``.
        ValueError
            If ``batch_size`` is below 1, ``min_support`` is not between 0 and 1, no group has two cells, two groups have
            the same name, or what is written would not fit into memory.
        """
        self._check_map_is_learnt()
        self._check_evidence()
        check_cells(adata, batch_size=batch_size)
        check_share("min_support", min_support)
        adata = self._validate_anndata(adata)
        rna = adata.mod[self._rna_modality] if isinstance(adata, MuData) else adata
        groups = {} if groupby is None else group_cells(groupby, adata.obs)
        known = self.module.map.known.support
        share = int(torch.count_nonzero(known >= min_support)) / max(known.numel(), 1) if min_support else 1.0
        check_written(*known.shape, n_groups=len(groups), share=share)
        varp: dict[str, csr_matrix] = {}
        found = []
        for name, network in self._written_groups(adata, groups, batch_size):
            varp |= network_matrices({regulation_key(name): _cut(network, min_support)}, rna.var_names)
            found.append(name)
        varp |= self._matrices_of_all(adata, rna.var_names, batch_size, min_support)
        obsm, varm = {}, {}
        if self.is_trained_:
            obsm[RESULT_KEYS.LATENT] = self.get_latent_representation(adata, batch_size=batch_size)
            varm[RESULT_KEYS.GENE_EMBEDDING] = self.get_gene_embedding().to_numpy()
        manager = self.get_anndata_manager(adata, required=True)
        n_cells = n_cells_expressing(manager.get_from_registry(REGISTRY_KEYS.X_KEY))
        parameters = run_parameters(self, groupby, found) | ({"min_support": min_support} if min_support else {})
        results = Results(
            obsm=obsm,
            uns={RESULT_KEYS.PARAMETERS: parameters},
            varp=varp,
            varm=varm,
            var={RESULT_KEYS.REGULATOR: rna.var_names.isin(self.regulators), RESULT_KEYS.N_CELLS: n_cells},
        )
        replace_results(adata, rna, results)

    def _written_groups(
        self, adata: AnnData | MuData, groups: dict[str, np.ndarray], batch_size: int | None
    ) -> Iterable[tuple[str, RegulatoryNetwork]]:
        """Return groups and networks, one after the other where they do not have to be known together."""
        if self.ensemble_:
            return self._group_networks(adata, groups, batch_size).items()
        return self._plain_group_networks(adata, groups, batch_size, with_q_values=False)

    def _matrices_of_all(
        self, adata: AnnData | MuData, var_names: pd.Index, batch_size: int | None, min_support: float
    ) -> dict[str, csr_matrix]:
        """Return by key of ``varp`` what is written of the map of all cells; no two maps are held at a time."""
        network = _cut(self._network_of_all(with_q_values=False), min_support)
        matrices = network_matrices({RESULT_KEYS.REGULATION: network}, var_names)
        if not self.is_trained_:
            return matrices
        is_written = network.weight.T != 0 if min_support else None  # (G, R)
        del network
        attention = mean_attention(self.module.map, self._batches(adata, None, batch_size))
        matrices |= network_matrices({RESULT_KEYS.ATTENTION: self._named(_where(is_written, attention))}, var_names)
        del attention
        gates = gate(self.module.map)
        return matrices | network_matrices({RESULT_KEYS.GATE: self._named(_where(is_written, gates))}, var_names)


def _cut(network: RegulatoryNetwork, min_support: float) -> RegulatoryNetwork:
    return network.supported(min_support) if min_support else network


def _where(mask: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    return values if mask is None else np.where(mask, values, 0)
