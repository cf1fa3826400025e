"""Read the regulatory map and the gene embedding off a trained SCDual, and write results into the data.

Dimension key
    C  cells      G  genes      R  regulators      D  embedding width
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args, overload

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS, settings

from scdual._checks import check_choice
from scdual._constants import ORIENTATION, RESULT_KEYS, regulation_key
from scdual._types import MapKind
from scdual.grn import RegulatoryNetwork, consensus_network, edge_evidence, from_attention_layout
from scdual.model._cells import cell_positions, check_cells
from scdual.model._ensemble import EnsembleMixin
from scdual.model._groups import group_cells, leave_out
from scdual.model._record import describe
from scdual.model._results import Results, replace_results
from scdual.module.map import MapCells, RegulationMap, correlation, gate, group_maps, mean_maps, with_prior


class RegulationMixin(EnsembleMixin):
    """Methods of SCDual that return or write the regulatory map."""

    @overload
    def get_regulation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        groupby: None = None,
        kind: MapKind = "regulation",
        batch_size: int | None = None,
    ) -> RegulatoryNetwork: ...

    @overload
    def get_regulation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        groupby: str | Sequence[str],
        kind: MapKind = "regulation",
        batch_size: int | None = None,
    ) -> dict[str, RegulatoryNetwork]: ...

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
            network = self._network(adata, indices, batch_size, kind)
            return self._with_evidence(network, adata, indices, batch_size) if kind == "regulation" else network
        groups = group_cells(groupby, adata.obs, None if indices is None else cell_positions(adata, indices))
        if kind == "regulation":
            return self._group_networks(adata, groups, batch_size)
        if kind == "consensus":
            networks = self._plain_group_networks(adata, groups, batch_size)
            return {
                name: self._consensus(network, adata, groups[name], batch_size) for name, network in networks.items()
            }
        return {name: self._network(adata, cells, batch_size, kind, group=name) for name, cells in groups.items()}

    @torch.inference_mode()
    def get_gene_embedding(self) -> pd.DataFrame:
        """Return the gene states after the gene branch, one row per gene, shape ``(G, D)``.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        """
        self._check_if_trained(warn=False)
        states = self.module.map.gene_state().cpu().numpy().copy()
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
        maps = mean_maps(self.module.map, self._batches(adata, None, batch_size))

        rna = adata.mod[self._rna_modality] if isinstance(adata, MuData) else adata
        networks = {
            RESULT_KEYS.REGULATION: self._named(with_prior(self.module.map, maps.regulation)),
            RESULT_KEYS.ATTENTION: self._named(maps.attention),
            RESULT_KEYS.GATE: self._named(gate(self.module.map)),
        }
        networks |= {regulation_key(name): network for name, network in by_group.items()}
        results = Results(
            obsm={RESULT_KEYS.LATENT: latent},
            uns={RESULT_KEYS.PARAMETERS: self._parameters(groupby, list(by_group))},
            varp={key: network.to_varp(rna.var_names) for key, network in networks.items()},
            varm={RESULT_KEYS.GENE_EMBEDDING: self.get_gene_embedding().to_numpy()},
            var={RESULT_KEYS.REGULATOR: rna.var_names.isin(self.regulators)},
        )
        replace_results(adata, rna, results)

    @torch.inference_mode()
    def ensemble_networks(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> list[RegulatoryNetwork]:
        """Return the network of each member of the ensemble, in the order in which they were trained.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_regulation`.

        Raises
        ------
        RuntimeError
            If the model is not trained, or has no ensemble.
        ValueError
            If ``indices`` or ``batch_size`` is not valid.
        """
        self._check_if_trained(warn=False)
        if not self.ensemble_:
            msg = "The model has no ensemble; call `train_ensemble` first. Training the model again throws it away."
            raise RuntimeError(msg)
        check_cells(adata, indices, batch_size)
        adata = self._validate_anndata(adata)
        return [
            self._named(self._regulation_of(self._member(state), adata, indices, batch_size))
            for state in self.ensemble_
        ]

    def _network(
        self, adata: AnnData | MuData, indices: Any, batch_size: int | None, kind: MapKind, group: str | None = None
    ) -> RegulatoryNetwork:
        """Return one map over the cells at ``indices``, without evidence."""
        if kind == "gate":
            return self._named(gate(self.module.map), group)
        maps = mean_maps(self.module.map, self._batches(adata, indices, batch_size))
        if kind == "attention":
            return self._named(maps.attention, group)
        regulation = self._named(with_prior(self.module.map, maps.regulation), group)
        return self._consensus(regulation, adata, indices, batch_size) if kind == "consensus" else regulation

    def _with_evidence(
        self, network: RegulatoryNetwork, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> RegulatoryNetwork:
        """Return the regulation with what members and permuted genes say about it, if there is an ensemble."""
        if not self.ensemble_:
            return network
        maps = (self._member(state) for state in (*self.ensemble_, self.null_))
        *members, null = (self._regulation_of(member, adata, indices, batch_size).T for member in maps)
        return replace(network, evidence=edge_evidence(network.weight, np.stack(members), null))

    def _consensus(
        self, network: RegulatoryNetwork, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> RegulatoryNetwork:
        """Return the consensus of a network with the correlations among the cells at ``indices``."""
        found = correlation(self.module.map, self._batches(adata, indices, batch_size))
        return consensus_network(network, found.T)

    def _group_networks(
        self, adata: AnnData | MuData, groups: dict[str, np.ndarray], batch_size: int | None
    ) -> dict[str, RegulatoryNetwork]:
        """Return the regulation of each group, with its evidence if there is any."""
        networks = self._plain_group_networks(adata, groups, batch_size)
        if not (networks and self.ensemble_):
            return networks
        groups = {name: groups[name] for name in networks}
        seed = settings.seed or 0
        members = []
        for k, state in enumerate(self.ensemble_):  # a member sees half of the cells, here as in training
            rng = np.random.default_rng([seed, k])
            halves = {name: np.sort(rng.permutation(cells)[: (len(cells) + 1) // 2]) for name, cells in groups.items()}
            members.append(self._group_arrays(self._member(state), adata, halves, batch_size))
        null = self._group_arrays(self._member(self.null_), adata, groups, batch_size, shuffle_seed=seed)
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
        weights = self._group_arrays(self.module.map, adata, groups, batch_size)
        without = [name for name, weight in weights.items() if not weight.any()]
        if without:
            leave_out(without, groups, "no regulator varies in them beyond covariates and depth")
        return {name: self._named(weights[name], name) for name in groups if name not in without}

    def _group_arrays(
        self,
        regulation_map: RegulationMap,
        adata: AnnData | MuData,
        groups: dict[str, np.ndarray],
        batch_size: int | None,
        *,
        shuffle_seed: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the regulation in each group, what the prior says included, row = target, each ``(G, R)``."""
        grouped = np.sort(np.concatenate(list(groups.values())))  # on disk, cells are read in their order
        of_all = mean_maps(regulation_map, self._batches(adata, grouped, batch_size)).regulation
        by_group = {name: self._batches(adata, cells, batch_size) for name, cells in groups.items()}
        found = group_maps(regulation_map, by_group, of_all, shuffle_seed=shuffle_seed)
        return {name: with_prior(self.module.map, regulation) for name, regulation in found.items()}

    def _regulation_of(
        self, regulation_map: RegulationMap, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> np.ndarray:
        """Return the signed influence of a map, what the prior says included, row = target, shape ``(G, R)``."""
        maps = mean_maps(regulation_map, self._batches(adata, indices, batch_size))
        return with_prior(self.module.map, maps.regulation)

    def _batches(self, adata: AnnData | MuData, indices: Any, batch_size: int | None) -> Iterable[MapCells]:
        """Return the minibatches of the cells at ``indices`` as the map takes them."""
        return self.module.map_batches(
            self._make_data_loader(adata=adata, indices=indices, batch_size=batch_size or 512)
        )

    def _named(self, weight: np.ndarray, group: str | None = None) -> RegulatoryNetwork:
        """Return a map ``(G, R)`` as a network."""
        return from_attention_layout(weight, self.regulators, self.gene_names, group=group)

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
