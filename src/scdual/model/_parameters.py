"""What the data say of the run whose results they hold."""

from collections.abc import Sequence
from typing import Any

from scdual._constants import HISTORY_KEY, ORIENTATION, regulation_key
from scdual.model._record import describe, loss_curves


def run_parameters(model: Any, groupby: str | Sequence[str] | None, groups: Sequence[str]) -> dict[str, Any]:
    """Return what ``uns["scdual"]`` holds; plain values only, so that ``write_h5ad`` can store it.

    Parameters
    ----------
    model
        The trained model.
    groupby, groups
        Columns of ``obs`` by which networks of groups are written, and the names of these groups.
    """
    curves = loss_curves(model.history)
    parameters = {"orientation": ORIENTATION} | describe(model) | ({HISTORY_KEY: curves} if curves else {})
    parameters |= {} if model.record_ is None else model.record_.to_uns()
    if groupby is not None:
        columns = groupby if isinstance(groupby, str) else list(groupby)
        parameters |= {"groupby": columns, "groups": {regulation_key(name): name for name in groups}}
    return parameters
