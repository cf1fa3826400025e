"""Train an ensemble, which says how sure each edge is, in one process or in several jobs.

Dimension key
    C  cells      K  members
"""

import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS, settings
from scvi.data import AnnDataManager
from scvi.dataloaders import AnnDataLoader

from scdual._checks import check_flag, check_type, check_whole
from scdual.data._cells import cell_order
from scdual.data._permute import permute_genes
from scdual.data._rows import read_rows
from scdual.model._devices import single_device
from scdual.model._groups import SMALLEST_GROUP, group_names
from scdual.model._merge import MERGED, check_mergeable, learnt_with
from scdual.model._progress import tracked
from scdual.model._record import add_step, recorded
from scdual.model._train_arguments import check_hardware, check_lengths
from scdual.model._training import TrainingMixin
from scdual.module import RegulationMap

State = dict[str, torch.Tensor]


class EnsembleMixin(TrainingMixin):
    """The methods of SCDual that train an ensemble and put several together."""

    @recorded
    def train_ensemble(
        self,
        n_ensemble: int = 5,
        *,
        permute_within: str | Sequence[str] | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int = 512,
        enable_progress_bar: bool = True,
    ) -> None:
        """Learn the regulatory map again from random halves of the cells, and once from permuted genes.

        Edges carry evidence without it. Afterwards :meth:`get_regulation` tells for each edge its spread and the support of
        its sign over the halves, and the false discovery rate at which it is called beside permuted genes; see
        :class:`~scdual.grn.EdgeEvidence`. Embedding and weights stay as they are. A member takes seconds: it is what
        training starts from. Training the model again throws the ensemble away.

        Parameters
        ----------
        n_ensemble
            Number K of members, at least 2; one more learns from permuted genes.
        permute_within
            Column of ``obs``, or several: genes are permuted within its groups, so that an edge is called only if it is stronger
            than differences between the groups explain. None permutes over all cells: then most edges of data with
            several cell types are called, because their genes go together, whatever the reason.
        accelerator, devices
            Hardware, as in :meth:`train`, but a single device.
        batch_size
            Cells per minibatch.
        enable_progress_bar
            Whether to show how many members are trained.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        KeyError
            If ``permute_within`` is no column of ``obs``.
        TypeError, ValueError
            If an argument is unknown or wrong, there are fewer than 2 members, the model has no data, or there are several
            devices.
        KeyboardInterrupt
            On Ctrl+C. An earlier ensemble stays as it was.
        """
        self._check_map_is_learnt()
        check_whole("n_ensemble", n_ensemble, at_least=2)
        check_lengths(None, batch_size)
        check_hardware(accelerator, devices)
        check_flag("enable_progress_bar", enable_progress_bar)
        if self.adata is None:
            msg = (
                "The model was loaded or built without data, so no ensemble can be trained; set `model.adata = adata`."
            )
            raise ValueError(msg)
        if self.adata.n_obs < SMALLEST_GROUP:
            msg = "Members of an ensemble learn from random halves of the cells, but the data have one cell; pass more cells."
            raise ValueError(msg)
        device = single_device(accelerator, devices, learns="a member of an ensemble is trained")
        groups = None if permute_within is None else _permutation_groups(permute_within, self.adata.obs)
        self._validate_anndata()  # the data must not have changed since they were set up
        rng = np.random.default_rng(settings.seed)
        n_cells = self.adata.n_obs
        runs = [(self.adata_manager, n_cells // 2)] * n_ensemble + [(self._permuted(rng, groups), n_cells)]

        module = self.module if device == self.module.device else deepcopy(self.module).to(device)
        states: list[State] = []
        try:
            for manager, n_chosen in tracked(runs, "Learning the ensemble", is_shown=enable_progress_bar):
                cells = np.sort(rng.permutation(n_cells)[:n_chosen])
                member = deepcopy(module.map)
                member.learn(module.map_batches(AnnDataLoader(manager, indices=cells, batch_size=batch_size)))
                states.append(_on_cpu(member.state_dict()))
        except KeyboardInterrupt:
            msg = f"The ensemble was interrupted after {len(states)} of {len(runs)} members; the model is as it was."
            raise KeyboardInterrupt(msg) from None
        *self.ensemble_, self.null_ = states

    def merge_ensembles(self, others: Sequence[Self]) -> None:
        """Add the members of the ensembles of other models, which other jobs have learnt with other seeds.

        A member depends on the cells, the settings and the seed, and not on how the embedding was trained. So the ensemble is
        the one that a single process learns with these seeds, one after the other. Embedding, weights and permuted genes
        stay those of this model. Each model counts by its members.

        Parameters
        ----------
        others
            Models with ensembles, of the same cells with the same settings; they stay as they are.

        Raises
        ------
        TypeError
            If one of them is no model.
        ValueError
            If there is none, a model has no ensemble, or two differ in genes, regulators, cells, prior or arguments, or were
            learnt with the same seed. No model has been changed then.
        """
        check_type("others", others, list, tuple, advice="Pass a list of models.")
        if not others:
            msg = "`others` is empty, expected models with ensembles; pass at least one."
            raise ValueError(msg)
        known: list[Self] = []
        for k, other in enumerate(others):
            for first in (self, *known):
                check_mergeable(first, other, name=f"`others[{k}]`")
            known.append(other)
        for other in others:
            seeds = learnt_with(other)
            self.ensemble_ = [*self.ensemble_, *(_on_cpu(state) for state in other.ensemble_)]
            add_step(self, MERGED, {"seeds": seeds, "n_ensemble": len(other.ensemble_)})

    def _permuted(self, rng: np.random.Generator, groups: np.ndarray | None) -> AnnDataManager:
        """Return a copy of the data, registered, with permuted genes."""
        data: AnnData | MuData = self.adata.to_memory() if self.adata.isbacked else self.adata.copy()
        where = self.adata_manager.data_registry[REGISTRY_KEYS.X_KEY]
        rna = data.mod[where.mod_key] if isinstance(data, MuData) else data
        counts = read_rows(self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY), slice(None))
        permuted = permute_genes(counts, rng, groups)
        order = cell_order(data, where.mod_key) if isinstance(data, MuData) else None
        if order is not None:
            permuted = permuted[np.argsort(order)]
        if where.attr_name == "layers":
            rna.layers[where.attr_key] = permuted
        else:
            rna.X = permuted
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a permuted cell may have no counts
            return self.adata_manager.transfer_fields(data)

    def _member(self, state: State) -> RegulationMap:
        """Return the map of a member."""
        member = deepcopy(self.module.map)  # draws no random weights, which would be written over
        member.load_state_dict(state)
        return member.eval()


def _permutation_groups(permute_within: str | Sequence[str], obs: pd.DataFrame) -> np.ndarray:
    """Return the number of each cell's group, ``(C,)``; cells without a value are one more."""
    groups = group_names("permute_within", permute_within, obs).cat.codes.to_numpy()
    if np.unique(groups, return_counts=True)[1].max() < SMALLEST_GROUP:
        msg = f"`permute_within={permute_within!r}` puts each cell into a group of its own; name a column with larger groups."
        raise ValueError(msg)
    return groups


def _on_cpu(state: State) -> State:
    return {name: values.detach().cpu().clone() for name, values in state.items()}
