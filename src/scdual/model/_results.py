"""Write the results of a run into data: those of an older run go as a whole, and a failure changes nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from anndata import AnnData
from mudata import MuData

from scdual._constants import RESULT_KEYS, group_of

_SLOTS = ("obsm", "varp", "varm", "uns")


class Results(NamedTuple):
    """What is written, by key; ``var`` holds columns."""

    obsm: Mapping[str, Any]
    uns: Mapping[str, Any]
    varp: Mapping[str, Any]
    varm: Mapping[str, Any]
    var: Mapping[str, Any]


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


def _remove(place: AnnData | MuData) -> None:
    owned = set(RESULT_KEYS)
    for slot in _SLOTS:
        room = getattr(place, slot)
        for key in [key for key in room if key in owned or (slot == "varp" and group_of(key) is not None)]:
            del room[key]
    if RESULT_KEYS.REGULATOR in place.var:
        del place.var[RESULT_KEYS.REGULATOR]


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
