"""Read the regulatory map and the gene embedding off a trained SCDual.

Dimension key
    C  cells      G  genes      R  regulators      D  embedding width
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args, overload

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import settings

from scdual._checks import check_choice
from scdual._types import MapKind
from scdual.data._regulators import kept_targets
from scdual.grn import RegulatoryNetwork, consensus_network, from_attention_layout
from scdual.model._cells import cell_positions, check_cells
from scdual.model._ensemble import EnsembleMixin
from scdual.model._groups import group_cells, leave_out
from scdual.model._pair_networks import with_evidence
from scdual.module.map import (
    Pairs,
    RegulationMap,
    correlation,
    gate,
    group_pairs,
    known_pairs,
    mean_attention,
    mean_influence,
)


class RegulationMixin(EnsembleMixin):
    """Methods of SCDual that return the regulatory map."""

    @overload
    def get_regulation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        groupby: None = None,
        kind: MapKind = "regulation",
        exclude_targets: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
    ) -> RegulatoryNetwork: ...

    @overload
    def get_regulation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        groupby: str | Sequence[str],
        kind: MapKind = "regulation",
        exclude_targets: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
    ) -> dict[str, RegulatoryNetwork]: ...

    @torch.inference_mode()
    def get_regulation(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        groupby: str | Sequence[str] | None = None,
        kind: MapKind = "regulation",
        exclude_targets: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
    ) -> RegulatoryNetwork | dict[str, RegulatoryNetwork]:
        r"""Return the signed regulatory network, row = regulator and column = target.

        The weight of an edge is the change of the target, in its standard deviations, per standard deviation of the
        regulator, while most other regulators are unknown. It is the posterior mean of a linear map whose estimates have
        standard errors of their own, see :func:`~scdual.module.posterior_map`: what few cells say counts little.
        Positive weights activate, negative weights repress. They are associations in the data; only perturbations show
        causes. With a trusted prior network, weights are multiplied by what it says; see
        :func:`~scdual.module.prior_factor`.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with. The regulation of all cells is always
            that of the cells the model was trained on.
        indices
            Positions of cells; their map departs from that of all cells as that of a group does. None takes all.
        groupby
            Column of ``obs``, or several, whose groups are named as in ``"B cell | treated"``, a bar within a name being
            doubled. One network is returned for each group of at least two cells; cells without a value are in none.
            Its weights, signs included, are those of all cells unless the cells of the group say otherwise, and count per standard deviation of the regulator
            in the group: a regulator that is silent there has none. See :func:`~scdual.module.group_map`. Attention is
            averaged over the group, and the gate is the same in all.
        kind
            One of:

            * ``'regulation'`` - signed weights with their evidence
            * ``'influence'`` - what the trained transformer does: the slope of a regulator's message on its standardised
              value x, :math:`\mathrm{mean}_{cells} [ x_i^2 \sum_h A_{jih} g_{ih} ] M_{ji}`, with attention A, signed
              gate M and value gain g of target j and regulator i
            * ``'attention'`` - mean attention of target on regulator, not negative; no network by itself
            * ``'gate'`` - p(activates) - p(represses)
            * ``'consensus'`` - signed weights and depth-corrected correlation in one ranking, for counts in which plain
              correlation does well; see :func:`~scdual.grn.consensus_network`
        exclude_targets
            Genes to leave out as targets, such as ribosomal ones: their names, or a boolean column of ``var``. The weights of
            the others stay as they are, and their ``q_value`` counts them alone. Regulators may still be among them.
        batch_size
            Cells per minibatch.
        dataloader
            Minibatches in place of ``adata``, in the same order each time; ``groupby`` may name what was registered.

        Returns
        -------
        A network, or with ``groupby`` a dict of networks by group. The regulation carries the evidence for its edges; after
        :meth:`train_ensemble` that of its members. See :class:`~scdual.grn.EdgeEvidence`.

        Raises
        ------
        RuntimeError
            If the model is not trained, or was saved before edges carried evidence.
        KeyError
            If ``groupby`` is no column of ``obs``.
        ValueError
            If ``kind``, ``indices``, ``exclude_targets`` or ``batch_size`` is not valid, no group has two cells, or two have the
            same name.
        """
        self._check_map_is_learnt()
        check_choice("kind", kind, get_args(MapKind))
        check_cells(adata, indices, batch_size, dataloader)
        if kind in ("regulation", "consensus"):
            self._check_evidence()
        else:
            self._check_if_trained(warn=False)
        is_kept = kept_targets(exclude_targets, self.gene_names, self._var_table())
        if kind == "regulation" and adata is None and indices is None and groupby is None:
            return self._only(self._network_of_all(is_kept), is_kept)
        adata = self._cells(adata, dataloader)
        if groupby is None:
            return self._only(self._network(adata, indices, batch_size, kind, is_kept=is_kept), is_kept)
        groups = group_cells(groupby, adata.obs, None if indices is None else cell_positions(adata, indices))
        if kind == "regulation":
            networks = self._group_networks(adata, groups, batch_size, is_kept)
        elif kind == "consensus":
            networks = {
                name: self._consensus(network, adata, groups[name], batch_size)
                for name, network in self._plain_group_networks(adata, groups, batch_size)
            }
        else:
            networks = {
                name: self._network(adata, cells, batch_size, kind, group=name) for name, cells in groups.items()
            }
        return {name: self._only(network, is_kept) for name, network in networks.items()}

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

    def _check_evidence(self) -> None:
        if not self.module.map.known.is_known:
            msg = (
                "The model was saved before edges carried evidence, so it has no regulation of this kind; train it again, or "
                "read its regulation of then with `kind='influence'`."
            )
            raise RuntimeError(msg)

    def _only(self, network: RegulatoryNetwork, is_kept: np.ndarray | None) -> RegulatoryNetwork:
        """Return the network with the targets that are kept, of a mask ``(G,)``; None keeps all."""
        return network if is_kept is None else network.subset(targets=network.targets[is_kept])

    def _network_of_all(self, is_kept: np.ndarray | None = None, *, with_q_values: bool = True) -> RegulatoryNetwork:
        """Return the regulation over the cells of the training, with its evidence, whose q values count the kept targets."""
        pairs = self._known(self.module.map)
        if not self.ensemble_:
            return self._with_evidence(pairs, is_kept=is_kept, with_q_values=with_q_values)
        *members, null = (self._known(self._member(state)) for state in (*self.ensemble_, self.null_))
        return self._with_evidence(pairs, members, null, is_kept=is_kept)

    def _network(
        self,
        adata: AnnData | MuData,
        indices: Any,
        batch_size: int | None,
        kind: MapKind,
        group: str | None = None,
        is_kept: np.ndarray | None = None,
    ) -> RegulatoryNetwork:
        """Return one map over the cells at ``indices``; its q values count the kept targets."""
        if kind == "gate":
            return self._named(gate(self.module.map), group)
        if kind in ("attention", "influence"):
            read = mean_attention if kind == "attention" else mean_influence
            return self._named(read(self.module.map, self._batches(adata, indices, batch_size)), group)
        cells = np.arange(adata.n_obs) if indices is None else cell_positions(adata, indices)
        if len(np.unique(cells)) == adata.n_obs:
            network = self._network_of_all(is_kept)
        else:
            pairs = self._group_pairs(self.module.map, adata, {"": cells}, batch_size)[""]
            if self._has_edges and not pairs.weight.any():
                msg = (
                    f"The {len(cells)} cells of `indices` have no map, because no regulator varies in them beyond covariates "
                    "and depth; choose more cells."
                )
                raise ValueError(msg)
            network = self._with_evidence(pairs, group=group, is_kept=is_kept)
        return self._consensus(network, adata, indices, batch_size) if kind == "consensus" else network

    @property
    def _has_edges(self) -> bool:
        """Whether there is any edge; if not, a group without one need not be explained."""
        return bool(self.module.map.known.weight.any())

    def _known(self, regulation_map: RegulationMap) -> Pairs:
        """Return what a map, or that of a member, knows of its pairs; the prior of the model speaks for all."""
        return known_pairs(regulation_map, self.module.map.prior_factor)

    def _with_evidence(
        self,
        pairs: Pairs,
        members: Sequence[Pairs] = (),
        null: Pairs | None = None,
        group: str | None = None,
        is_kept: np.ndarray | None = None,
        with_q_values: bool = True,
    ) -> RegulatoryNetwork:
        """Return the network of pairs with their evidence, that of members and of permuted genes if there are any."""
        return with_evidence(
            self._named(pairs.weight, group), pairs, members, null, is_kept, with_q_values=with_q_values
        )

    def _consensus(
        self, network: RegulatoryNetwork, adata: AnnData | MuData, indices: Any, batch_size: int | None
    ) -> RegulatoryNetwork:
        """Return the consensus of a network with the correlations among the cells at ``indices``."""
        found = correlation(self.module.map, self._batches(adata, indices, batch_size))
        return consensus_network(network, found.T)

    def _group_networks(
        self,
        adata: AnnData | MuData,
        groups: dict[str, np.ndarray],
        batch_size: int | None,
        is_kept: np.ndarray | None = None,
    ) -> dict[str, RegulatoryNetwork]:
        """Return the regulation of each group that has one, with its evidence."""
        networks = dict(self._plain_group_networks(adata, groups, batch_size, is_kept))
        if not (networks and self.ensemble_):
            return networks
        groups = {name: groups[name] for name in networks}
        seed = settings.seed or 0
        members = []
        for k, state in enumerate(self.ensemble_):  # a member sees half of the cells, here as in training
            rng = np.random.default_rng([seed, k])
            halves = {name: np.sort(rng.permutation(cells)[: (len(cells) + 1) // 2]) for name, cells in groups.items()}
            members.append(self._group_pairs(self._member(state), adata, halves, batch_size))
        of_all = self._group_pairs(self.module.map, adata, groups, batch_size)
        null = self._group_pairs(self._member(self.null_), adata, groups, batch_size, shuffle_seed=seed)
        return {
            name: self._with_evidence(of_all[name], [member[name] for member in members], null[name], name, is_kept)
            for name in networks
        }

    def _plain_group_networks(
        self,
        adata: AnnData | MuData,
        groups: dict[str, np.ndarray],
        batch_size: int | None,
        is_kept: np.ndarray | None = None,
        *,
        with_q_values: bool = True,
    ) -> Iterator[tuple[str, RegulatoryNetwork]]:
        """Yield each group that has a map, and its regulation with the evidence of its own cells."""
        without = []
        for name, cells in groups.items():
            pairs = self._group_pairs(self.module.map, adata, {name: cells}, batch_size)[name]
            if self._has_edges and not pairs.weight.any():
                without.append(name)
            else:
                yield name, self._with_evidence(pairs, group=name, is_kept=is_kept, with_q_values=with_q_values)
        if without:
            leave_out(without, groups, "no regulator varies in them beyond covariates and depth")

    def _group_pairs(
        self,
        regulation_map: RegulationMap,
        adata: AnnData | MuData,
        groups: dict[str, np.ndarray],
        batch_size: int | None,
        *,
        shuffle_seed: int | None = None,
    ) -> dict[str, Pairs]:
        """Return what is known about each group, what the prior says included."""
        by_group = {name: self._batches(adata, cells, batch_size) for name, cells in groups.items()}
        return group_pairs(regulation_map, by_group, self.module.map.prior_factor, shuffle_seed=shuffle_seed)

    def _named(self, weight: np.ndarray, group: str | None = None) -> RegulatoryNetwork:
        """Return a map ``(G, R)`` as a network."""
        network = from_attention_layout(weight, self.regulators, self.gene_names, group=group)
        return replace(network, var=self._var_table())
