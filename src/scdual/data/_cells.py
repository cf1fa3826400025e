"""Names of cells, and where cells stand in a modality of MuData.

Dimension key
    C  cells
"""

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

_N_EXAMPLES = 3


def cell_order(mdata: MuData, modality: str) -> np.ndarray | None:
    """Return where the cells of MuData stand in a modality, shape ``(C,)``, None if they stand there in the same order.

    Parameters
    ----------
    mdata
        Data with the same cells in all modalities.
    modality
        Name of the modality.

    Raises
    ------
    ValueError
        If a cell is missing in the modality.
    """
    names, there = mdata.obs_names, mdata.mod[modality].obs_names
    if names.equals(there):
        return None
    order = there.get_indexer(names)
    if len(names) != len(there) or (order < 0).any():
        msg = (
            f"Modality {modality!r} has {len(there)} cells and the MuData {len(names)}, of which {np.sum(order >= 0)} are "
            "the same by name; call `mdata.update()` after changing a modality, or `muon.pp.intersect_obs(mdata)`."
        )
        raise ValueError(msg)
    return order


def check_cell_names(data: AnnData | MuData) -> None:
    """Raise a ValueError if cells have no name, or share one in MuData, whose cells are paired by name."""
    for part in (data, *(data.mod.values() if isinstance(data, MuData) else ())):
        check_names(part.obs_names, what="cell", where="obs_names")
        if isinstance(data, MuData) and not part.obs_names.is_unique:
            repeated = list(part.obs_names[part.obs_names.duplicated()].unique()[:_N_EXAMPLES])
            msg = (
                f"Cell names of the MuData repeat, e.g. {repeated}, but cells of its modalities are paired by name; call "
                "`obs_names_make_unique()` on each modality before they are joined."
            )
            raise ValueError(msg)


def check_names(names: pd.Index, *, what: str, where: str) -> None:
    """Raise a ValueError unless all names are text.

    Parameters
    ----------
    names
        Names of cells or genes.
    what, where
        What they are the names of, and where they lie, for the message.
    """
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        msg = (
            f"{len(wrong)} of {len(names)} {what} names are no text, e.g. {wrong[:_N_EXAMPLES]}; name them first, "
            f"e.g. `adata.{where} = adata.{where}.astype(str)`."
        )
        raise ValueError(msg)
