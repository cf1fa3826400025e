"""Write the results of a run into data: those of an older run go as a whole, and a failure changes nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from scdual._checks import check_key
from scdual._constants import ACTIVITY_KEY, EVIDENCE_KEYS, RESULT_KEYS, evidence_key
from scdual.grn import RegulatoryNetwork
from scdual.model._perturbation import Perturbation

_SLOTS = ("obsm", "varp", "varm", "uns")
_COLUMNS = (RESULT_KEYS.REGULATOR, RESULT_KEYS.N_CELLS)  # of var
_WRITER = "SCDual.perturb"  # in `uns`, who wrote what is under a key
_OF_GROUPS = tuple(f"{key}_" for key in (RESULT_KEYS.REGULATION, *EVIDENCE_KEYS.values()))


class Results(NamedTuple):
    """What is written, by key; ``var`` holds columns."""

    obsm: Mapping[str, Any]
    uns: Mapping[str, Any]
    varp: Mapping[str, Any]
    varm: Mapping[str, Any]
    var: Mapping[str, Any]


def network_matrices(networks: Mapping[str, RegulatoryNetwork], var_names: pd.Index) -> dict[str, csr_matrix]:
    """Return by key of ``varp`` the weights of networks, and beside them the evidence of those that have it.

    Parameters
    ----------
    networks
        Networks by the key of their weights.
    var_names
        Names of the ``G`` genes of the data; each matrix has shape ``(G, G)``, row = regulator.
    """
    matrices = {key: network.to_varp(var_names) for key, network in networks.items()}
    for key, network in networks.items():
        if network.evidence is not None:
            matrices |= {evidence_key(key, name): network.to_varp(var_names, name) for name in EVIDENCE_KEYS}
    return matrices


def replace_results(data: AnnData | MuData, rna: AnnData, results: Results) -> None:
    """Write results in place of all that an older run has left.

    Parameters
    ----------
    data
        The registered data, which get what is about cells and the run.
    rna
        Its RNA modality, which gets what is about genes; the data themselves if they are an AnnData.
    results
        What to write.
    """
    with _all_or_nothing(data), _all_or_nothing(rna):
        for place in (data, rna):
            _remove(place)
        data.obsm.update(results.obsm)
        data.uns.update(results.uns)
        rna.varp.update(results.varp)
        rna.varm.update(results.varm)
        for key, column in results.var.items():
            rna.var[key] = column


def check_free(key: str | None, data: AnnData | MuData, rna: AnnData) -> None:
    """Raise an error unless a perturbation can be written under a key: a name for files, that nothing else has.

    Parameters
    ----------
    key
        The key; None writes nothing.
    data, rna
        As in :func:`replace_results`.
    """
    check_key("key_added", key, taken=(*RESULT_KEYS, ACTIVITY_KEY))
    if key is None:
        return
    own = data.uns.get(key)
    is_own = isinstance(own, Mapping) and own.get("written_by") == _WRITER
    taken = [name for name, room in (("uns", data.uns), ("obsm", data.obsm), ("varm", rna.varm)) if key in room]
    if taken and not is_own:
        msg = f"`key_added` is {key!r}, which {taken[0]} has already, and not from `perturb`. Choose another name."
        raise ValueError(msg)


def write_perturbation(key: str, found: Perturbation, data: AnnData | MuData, rna: AnnData) -> None:
    """Write a perturbation under a key: the shift to ``obsm``, the effects to ``varm``, what was done to ``uns``.

    Parameters
    ----------
    key
        The key, which is free.
    found
        What was predicted.
    data, rna
        As in :func:`replace_results`.
    """
    index = pd.Index(data.obs_names).get_indexer(found.shift.index) if found.shift is not None else None
    with _all_or_nothing(data), _all_or_nothing(rna):
        for room in (data.obsm, rna.varm):
            if key in room:
                del room[key]
        if found.shift is not None:
            shift = np.full((data.n_obs, found.shift.shape[1]), np.nan, dtype=np.float32)  # other groups have none
            shift[index] = found.shift.to_numpy()
            data.obsm[key] = shift
        rna.varm[key] = found.effects
        data.uns[key] = {
            "written_by": _WRITER,
            "genes": list(found.genes),
            "set_to": [str(value) for value in found.genes.values()],
            "group": found.group or "",
            "rounds": found.rounds,
        }


def _remove(place: AnnData | MuData) -> None:
    owned = set(RESULT_KEYS)
    for slot in _SLOTS:
        room = getattr(place, slot)
        for key in [key for key in room if key in owned or (slot == "varp" and key.startswith(_OF_GROUPS))]:
            del room[key]
    for column in _COLUMNS:
        if column in place.var:
            del place.var[column]


@contextmanager
def _all_or_nothing(place: AnnData | MuData) -> Iterator[None]:
    """Put everything back if writing fails; only references are kept, no array is copied."""
    before, columns = {slot: dict(getattr(place, slot)) for slot in _SLOTS}, place.var.copy()
    try:
        yield
    except BaseException:
        for slot, room in before.items():
            now = getattr(place, slot)
            for key in list(now):
                del now[key]
            now.update(room)
        place.var = columns
        raise
