"""Read the regulatory map and the gene embedding off a trained SCDual, and write results into the data.

Dimension key
    C  cells      G  genes      R  regulators      T  targets of one chunk      D  embedding width
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS

from scdual._checks import check_choice
from scdual._constants import ORIENTATION, RESULT_KEYS, regulation_key
from scdual._types import MapKind
from scdual.grn import RegulatoryNetwork, consensus_network, edge_evidence, from_attention_layout
from scdual.model._cells import cell_positions, check_cells
from scdual.model._ensemble import EnsembleMixin
from scdual.model._groups import group_cells, leave_out
from scdual.model._record import describe
from scdual.model._results import Results, replace_results
from scdual.module import SCDualModule, group_map, residual_correlation

_TARGET_CHUNK = 512


class RegulationMixin(EnsembleMixin):
    """Methods of SCDual that return or write the regulatory map."""

    @torch.inference_mode()
    def get_regulation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        groupby: str | Sequence[str] | None = None,
        kind: MapKind = "regulation",
        batch_size: int | None = None,
    ) -> RegulatoryNetwork | dict[str, RegulatoryNetwork]:
        r"""Return the signed regulatory network, row = regulator and column = target.

        The weight of an edge is the change of the target, in its standard deviations, per standard deviation of the
        regulator, while most other regulators are unknown,

        .. math:: I_{ij} = \mathrm{mean}_{cells} \left[ \tilde x_i^2 \sum_h A_{jih} g_{ih} \right] M_{ji}

        with attention A, signed gate M and value gain g of target j and regulator i, and the regulator's
        standardised value x: the slope of the regulator's message on its value. Positive weights activate,
        negative weights repress. They are associations in the data; only perturbations show causes. With a trusted
        prior network, weights are multiplied by what it says; see :func:`~scdual.module.prior_factor`.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells to average over; None takes all.
        groupby
            Column of ``obs``, or several, whose groups are named as in ``"B cell | treated"``, a bar within a name being
            doubled. One network is returned for each group of at least two cells; cells without a value are in none.
            Its weights, signs included, are those of all cells unless the cells of the group say otherwise, and count per standard deviation of the regulator
            in the group: a regulator that is silent there has none. See :func:`~scdual.module.group_map`. Attention is
            averaged over the group, and the gate is the same in all.
        kind
            One of:

            * ``'regulation'`` - signed influence
            * ``'attention'`` - mean attention of target on regulator, not negative; no network by itself
            * ``'gate'`` - p(activates) - p(represses)
            * ``'consensus'`` - signed influence and depth-corrected correlation in one ranking, for counts in which plain
              correlation does well; see :func:`~scdual.grn.consensus_network`
        batch_size
            Cells per minibatch.

        Returns
        -------
        A network, or with ``groupby`` a dict of networks by group. After :meth:`train_ensemble` the regulation carries
        the evidence for its edges.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        KeyError
            If ``groupby`` is no column of ``obs``.
        ValueError
            If ``kind``, ``indices`` or ``batch_size`` is not valid, no group has two cells, or two have the same name.
        """
        self._check_if_trained(warn=False)
        check_choice("kind", kind, get_args(MapKind))
        check_cells(adata, indices, batch_size)
        adata = self._validate_anndata(adata)
        if groupby is None:
            return self._network(adata, indices, batch_size, kind)
        groups = group_cells(groupby, adata.obs, None if indices is None else cell_positions(adata, indices))
        if kind == "regulation":
            return self._group_networks(adata, groups, batch_size)
        if kind == "consensus":
            networks = self._plain_group_networks(adata, groups, batch_size)
            return {
                name: self._consensus(network, adata, groups[name], batch_size) for name, network in networks.items()
            }
        return {name: self._maps(adata, cells, batch_size, group=name)[kind] for name, cells in groups.items()}

    @torch.inference_mode()
    def get_gene_embedding(self) -> pd.DataFrame:
        """Return the gene states after the gene branch, one row per gene, shape ``(G, D)``.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        """
        self._check_if_trained(warn=False)
        states = self.module.gene_state().cpu().numpy().copy()
        return pd.DataFrame(states, index=pd.Index(self.gene_names))

    @torch.inference_mode()
    def annotate(
        self,
        adata: AnnData | MuData | None = None,
        *,
        groupby: str | Sequence[str] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Write embedding, regulatory map and gene embedding into the data.

        The latent representation goes to ``obsm["X_scdual"]``; regulation, attention and gate to ``varp``, row =
        regulator and column = target; the gene embedding to ``varm``, the regulators to ``var``, and parameters to
        ``uns["scdual"]``. Of MuData, ``obsm`` and ``uns`` are written at the top and the others to the RNA modality.
        What an earlier call has written goes as a whole, and a call that fails changes nothing.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        groupby
            Column or columns of ``obs``, as in :meth:`get_regulation`; the regulation of each group is written as well,
            to ``varp["scdual_regulation_<group>"]``. In these keys ``/`` is written ``%2F``, a backslash ``%5C`` and
            ``%`` itself ``%25``; ``uns["scdual"]["groups"]`` has the name of the group of each key.
        batch_size
            Cells per minibatch.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        KeyError
            If ``groupby`` is no column of ``obs``.
        ValueError
            If ``batch_size`` is below 1, no group has two cells, or two groups have the same name.
        """
        self._check_if_trained(warn=False)
        check_cells(adata, batch_size=batch_size)
        adata = self._validate_anndata(adata)
        groups = {} if groupby is None else group_cells(groupby, adata.obs)
        by_group = self._group_networks(adata, groups, batch_size)
        latent = self.get_latent_representation(adata, batch_size=batch_size)
        maps = self._maps(adata, None, batch_size)

        rna = adata.mod[self._rna_modality] if isinstance(adata, MuData) else adata
        keys = {"regulation": RESULT_KEYS.REGULATION, "attention": RESULT_KEYS.ATTENTION, "gate": RESULT_KEYS.GATE}
        networks = {key: maps[kind] for kind, key in keys.items()}
        networks |= {regulation_key(name): network for name, network in by_group.items()}
        results = Results(
            obsm={RESULT_KEYS.LATENT: latent},
            uns={RESULT_KEYS.PARAMETERS: self._parameters(groupby, list(by_group))},
            varp={key: network.to_varp(rna.var_names) for key, network in networks.items()},
            varm={RESULT_KEYS.GENE_EMBEDDING: self.get_gene_embedding().to_numpy()},
            var={RESULT_KEYS.REGULATOR: rna.var_names.isin(self.regulators)},
        )
        replace_results(adata, rna, results)

    def _network(
        self, adata: AnnData | MuData, indices: Any, batch_size: int | None, kind: MapKind
    ) -> RegulatoryNetwork:
        """Return one map averaged over the cells at ``indices``, with its evidence if there is any."""
        maps = self._maps(adata, indices, batch_size)
        if kind == "consensus":
            return self._consensus(maps["regulation"], adata, indices, batch_size)
        network = maps[kind]
        if kind != "regulation" or not self.ensemble_:
            return network
        modules = (self._member(state) for state in (*self.ensemble_, self.null_))
        *members, null = (self._map_arrays(module, adata, indices, batch_size)[kind].T for module in modules)
        return replace(network, evidence=edge_evidence(network.weight, np.stack(members), null))

    def _consensus(
        self, network: RegulatoryNetwork, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> RegulatoryNetwork:
        """Return the consensus of a network with the correlations among the cells at ``indices``."""
        loader = self._make_data_loader(adata=adata, indices=indices, batch_size=batch_size or 512)
        return consensus_network(network, residual_correlation(self.module, loader).cpu().numpy().T)

    def _group_networks(
        self, adata: AnnData | MuData, groups: dict[str, np.ndarray], batch_size: int | None
    ) -> dict[str, RegulatoryNetwork]:
        """Return the regulation of each group, with its evidence if there is any."""
        networks = self._plain_group_networks(adata, groups, batch_size)
        if not (networks and self.ensemble_):
            return networks
        groups = {name: groups[name] for name in networks}
        members = []
        for seed, state in enumerate(self.ensemble_):  # a member sees half of the cells, here as in training
            rng = np.random.default_rng(seed)
            halves = {name: np.sort(rng.permutation(cells)[: (len(cells) + 1) // 2]) for name, cells in groups.items()}
            members.append(self._group_arrays(self._member(state), adata, halves, batch_size))
        null = self._group_arrays(self._member(self.null_), adata, groups, batch_size, shuffle=True)
        for name, network in networks.items():
            stacked = np.stack([member[name].T for member in members])
            networks[name] = replace(network, evidence=edge_evidence(network.weight, stacked, null[name].T))
        return networks

    def _plain_group_networks(
        self, adata: AnnData | MuData, groups: dict[str, np.ndarray], batch_size: int | None
    ) -> dict[str, RegulatoryNetwork]:
        """Return the regulation of each group that has one, without evidence."""
        if not groups:
            return {}
        weights = self._group_arrays(self.module, adata, groups, batch_size)
        without = [name for name, weight in weights.items() if not weight.any()]
        if without:
            leave_out(without, groups, "no regulator varies in them beyond covariates and depth")
        names = self.regulators, self.gene_names
        return {
            name: from_attention_layout(weights[name], *names, group=name) for name in groups if name not in without
        }

    def _group_arrays(
        self,
        module: SCDualModule,
        adata: AnnData | MuData,
        groups: dict[str, np.ndarray],
        batch_size: int | None,
        *,
        shuffle: bool = False,
    ) -> dict[str, np.ndarray]:
        """Return the regulation of a module in each group, row = target, each ``(G, R)``."""
        grouped = np.sort(np.concatenate(list(groups.values())))  # on disk, cells are read in their order
        regulation = torch.as_tensor(
            self._mean_maps(module, adata, grouped, batch_size)["regulation"], device=module.device
        )
        arrays = {}
        for name, cells in groups.items():
            loader = self._make_data_loader(adata=adata, indices=cells, batch_size=batch_size or 512)
            arrays[name] = self._told(group_map(module, loader, regulation, shuffle=shuffle).cpu().numpy())
        return arrays

    def _maps(
        self, adata: AnnData | MuData, indices: Any, batch_size: int | None, group: str | None = None
    ) -> dict[str, RegulatoryNetwork]:
        """Return the three maps averaged over the cells at ``indices``."""
        maps = self._map_arrays(self.module, adata, indices, batch_size)
        names = self.regulators, self.gene_names
        return {kind: from_attention_layout(matrix, *names, group=group) for kind, matrix in maps.items()}

    def _map_arrays(
        self, module: SCDualModule, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> dict[str, np.ndarray]:
        """Return the three maps of a module, what the prior says included, each ``(G, R)``."""
        maps = self._mean_maps(module, adata, indices, batch_size)
        return maps | {"regulation": self._told(maps["regulation"])}

    def _told(self, regulation: np.ndarray) -> np.ndarray:
        """Return a map, of a member or of permuted genes as well, with what the prior of the model says."""
        factor = self.module.prior_factor
        return regulation if factor is None else regulation * factor.cpu().numpy()

    def _mean_maps(
        self, module: SCDualModule, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> dict[str, np.ndarray]:
        """Return the three maps of a module, averaged over cells, row = target, each ``(G, R)``."""
        genes = torch.arange(module.n_input, device=module.device)
        total = {kind: np.zeros((len(genes), len(self.regulators))) for kind in ("regulation", "attention", "gate")}
        n_cells = 0
        for tensors in self._make_data_loader(adata=adata, indices=indices, batch_size=batch_size or 512):
            values = module.regulator_values(tensors)
            n_cells += len(values.value)
            for target in genes.split(_TARGET_CHUNK):
                maps = module.maps(values, target)._asdict()
                for kind, matrix in total.items():
                    matrix[target.cpu().numpy()] += len(values.value) * maps[kind].cpu().numpy()
        total["gate"] *= module.gene_context(genes).keep_mask.cpu().numpy()
        return {kind: matrix / n_cells for kind, matrix in total.items()}

    def _parameters(self, groupby: str | Sequence[str] | None, groups: list[str]) -> dict[str, Any]:
        """Return what ``uns["scdual"]`` holds; plain values only, so that ``write_h5ad`` can store it."""
        run = {} if self.record_ is None else self.record_.to_uns()
        parameters = {"orientation": ORIENTATION} | describe(self) | run
        if groupby is not None:
            columns = groupby if isinstance(groupby, str) else list(groupby)
            parameters |= {"groupby": columns, "groups": {regulation_key(name): name for name in groups}}
        return parameters

    def _n_epochs(self) -> int:
        history = self.history or {}
        return len(history.get("train_loss", history.get("train_loss_epoch", ())))

    @property
    def _rna_modality(self) -> str:
        return self.adata_manager.data_registry[REGISTRY_KEYS.X_KEY].mod_key
