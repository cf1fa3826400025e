"""Read off an annotated file what its report says. What is not in the file is said to be absent, with the reason.

Dimension key
    C  cells      R  regulators
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from scdual._checks import did_you_mean, listed
from scdual._constants import ACTIVITY_KEY, HISTORY_KEY, RESULT_KEYS, group_of
from scdual.cli._edges import network_of
from scdual.cli._info import NOT_SHOWN, flat
from scdual.cli.report._networks import MIN_SUPPORT, N_STRONG, Expressed, NetworkPart, network_part, strong_edges
from scdual.cli.report._pictures import (
    N_CELLS_DRAWN,
    Picture,
    draw_column,
    draw_losses,
    draw_values,
    heat_colour,
    two_dimensions,
)
from scdual.grn import RegulatoryNetwork
from scdual.model._groups import group_names

_ALL = "all cells"
_N_ACTIVITY_PICTURES = 6
_N_ACTIVITY_COLUMNS = 12
_LONGEST = 500  # letters of a parameter
Heat = list[tuple[str, list[tuple[str, str]]]]
"""Rows of a name and of cells, each a text and its colour."""


class Report(NamedTuple):
    """All that a page says; a note stands where something is absent, and is empty where it is there."""

    title: str
    facts: dict[str, str]
    cells: list[Picture]
    cells_note: str
    losses: str
    losses_note: str
    networks: list[NetworkPart]
    networks_note: str
    activities: list[Picture]
    activity_regulators: list[str]
    activity_rows: Heat
    activity_note: str
    parameters: dict[str, str]
    min_support: float
    n_strong: int
    has_prior: bool


def new_report(adata: AnnData, path: Path, color: Sequence[str] = ()) -> Report:
    """Return the report of an annotated file.

    Parameters
    ----------
    adata
        What is in the file.
    path
        The file, for messages and the title.
    color
        Columns of ``obs`` to colour cells by, besides those of groups and batches.

    Raises
    ------
    KeyError
        If scdual has not written into the file, or it lacks a column of ``color``.
    """
    network = network_of(adata, path, None, with_support=False)
    _check_color(color, adata, path)
    about = _about(adata)
    layer, groupby = _part(about, "setup").get("layer"), _names(about.get("groupby"))
    groups, groups_note = _groups(adata, groupby)
    expressed = Expressed(adata, layer)
    networks = [network_part(network, _ALL, cells=np.arange(adata.n_obs), expressed=expressed)]
    for key in filter(None, map(group_of, adata.varp)):
        found = network_of(adata, path, key, with_support=False)
        networks.append(network_part(found, key, cells=groups.get(key), expressed=expressed))
    xy, drawn, cells_note = _where_cells_are(adata)
    columns = _columns(adata, [*groupby, *_covariates(about), *color])
    losses, losses_note = _losses(about)
    activity, activity_note = _activity(adata, network, layer)
    shown = activity.iloc[:, :_N_ACTIVITY_COLUMNS]
    return Report(
        title=path.name,
        facts=_facts(adata, networks),
        cells=[] if xy is None else [draw_column(xy, adata.obs[name].iloc[drawn], name) for name in columns],
        cells_note=cells_note if columns or xy is None else f"{cells_note} {_NO_COLUMNS}",
        losses=losses,
        losses_note=losses_note,
        networks=networks,
        networks_note=groups_note,
        activities=[] if xy is None else _activity_pictures(xy, shown.iloc[drawn]),
        activity_regulators=list(shown),
        activity_rows=_activity_rows(shown, groups),
        activity_note=activity_note,
        parameters=_parameters(about),
        min_support=MIN_SUPPORT,
        n_strong=N_STRONG,
        has_prior=about.get("prior", "none") != "none",
    )


_NO_COLUMNS = "Name columns of obs with --color to colour them."


def _check_color(color: Sequence[str], adata: AnnData, path: Path) -> None:
    """Raise ``KeyError`` for a column that is not in the file."""
    for name in color:
        if name not in adata.obs:
            advice = did_you_mean(name, adata.obs.columns) or "Choose one of these, or leave out --color."
            msg = f"--color is {name!r}, but the columns of obs of {path} are {listed(adata.obs.columns)}. {advice}"
            raise KeyError(msg)


def _about(adata: AnnData) -> Mapping[str, Any]:
    """Return ``uns["scdual"]``."""
    return _part(adata.uns, RESULT_KEYS.PARAMETERS)


def _part(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a mapping within a mapping, empty if it is not there."""
    found = about.get(name)
    return found if isinstance(found, Mapping) else {}


def _names(groupby: Any) -> list[str]:
    """Return one or more names of columns, as they come out of a file."""
    return [] if groupby is None else [str(name) for name in np.ravel(groupby)]


def _covariates(about: Mapping[str, Any]) -> list[str]:
    setup = _part(about, "setup")
    return [setup[name] for name in ("labels_key", "batch_key") if name in setup]


def _columns(adata: AnnData, names: Sequence[str]) -> list[str]:
    """Return the different columns of ``obs`` of these names that are there."""
    return [name for name in dict.fromkeys(names) if name in adata.obs]


def _groups(adata: AnnData, groupby: list[str]) -> tuple[dict[str, np.ndarray], str]:
    """Return the positions of the cells of each group, by its name, and why there are none."""
    if not groupby:
        return {}, "" if any(map(group_of, adata.varp)) else "This file has no networks of groups of cells."
    try:
        labels = group_names("groupby", groupby, adata.obs)
    except (KeyError, TypeError, ValueError) as error:
        return {}, f"Which cells are in which group is not known: {error.args[0]}"
    return {str(name): np.flatnonzero(labels == name) for name in labels.cat.categories}, ""


def _facts(adata: AnnData, networks: list[NetworkPart]) -> dict[str, str]:
    of_all = networks[0]
    facts = {"cells": f"{adata.n_obs:,}", "genes": f"{adata.n_vars:,}"}
    if RESULT_KEYS.REGULATOR in adata.var:
        facts["regulators"] = f"{int(adata.var[RESULT_KEYS.REGULATOR].sum()):,}"
    facts["edges"] = f"{of_all.n_edges:,}"
    if of_all.n_sure is not None:
        facts[f"edges with support of {MIN_SUPPORT} or more"] = f"{of_all.n_sure:,}"
    return facts | {"networks of groups": f"{len(networks) - 1:,}"}


def _where_cells_are(adata: AnnData) -> tuple[np.ndarray | None, np.ndarray, str]:
    """Return where cells lie in the picture, ``(C, 2)``, the positions of the cells that are drawn, and what this is."""
    drawn = np.arange(adata.n_obs)
    if RESULT_KEYS.LATENT not in adata.obsm:
        return None, drawn, f"This file has no embedding: its obsm lacks {RESULT_KEYS.LATENT}."
    if adata.n_obs > N_CELLS_DRAWN:
        drawn = np.sort(np.random.default_rng(0).choice(drawn, N_CELLS_DRAWN, replace=False))
    latent = np.asarray(adata.obsm[RESULT_KEYS.LATENT])
    if latent.ndim != 2 or latent.dtype.kind not in "buif" or not np.isfinite(latent).all():
        msg = (
            f"obsm[{RESULT_KEYS.LATENT!r}] holds other things than finite numbers, expected the embedding of the cells as "
            "`scdual fit` writes it. Write or copy the file again."
        )
        raise ValueError(msg)
    xy, what = two_dimensions(latent[drawn])
    some = "" if len(drawn) == adata.n_obs else f" Drawn are {len(drawn):,} cells, chosen at random."
    return xy, drawn, f"Each point is a cell; the picture is {what}.{some}"


def _losses(about: Mapping[str, Any]) -> tuple[str, str]:
    """Return the picture of the losses, or nothing and why."""
    history = _part(about, HISTORY_KEY)
    curves = {name: values for name, values in history.items() if np.isfinite(values).any()}
    try:
        return draw_losses(curves), ""
    except ValueError:
        return (
            "",
            "This file has no losses: only the map was learnt, the training logged none, or it was written before scdual kept them.",
        )


def _activity(adata: AnnData, network: RegulatoryNetwork, layer: str | None) -> tuple[pd.DataFrame, str]:
    """Return the activity of regulators in cells, ``(C, R)``, the strongest regulator first, and where it is from or why not."""
    from scdual.tl import rank_regulators, regulator_activity

    strong = strong_edges(network)
    stored = adata.obsm.get(ACTIVITY_KEY)
    try:
        found = stored if isinstance(stored, pd.DataFrame) else regulator_activity(adata, strong, layer=layer)
    except (ModuleNotFoundError, KeyError, ValueError) as error:
        return pd.DataFrame(index=adata.obs_names), f"There are no activities: {error.args[0]}"
    ranking = [name for name in rank_regulators(strong).index if name in found]
    source = f"obsm[{ACTIVITY_KEY!r}] of the file" if found is stored else "computed from the counts of the file"
    return found[ranking or list(found)], f"Source: {source}."


def _activity_pictures(xy: np.ndarray, activity: pd.DataFrame) -> list[Picture]:
    shown = activity.iloc[:, :_N_ACTIVITY_PICTURES]
    return [draw_values(xy, shown[name].to_numpy(float), str(name), is_signed=True) for name in shown]


def _activity_rows(activity: pd.DataFrame, groups: Mapping[str, np.ndarray]) -> Heat:
    """Return the mean activity in each group."""
    means = {name: activity.iloc[cells].mean().to_numpy() for name, cells in groups.items() if len(cells)}
    if not means or activity.empty:
        return []
    limit = float(np.nan_to_num(np.abs(np.stack(list(means.values())))).max())
    return [(name, [(f"{value:.1f}", heat_colour(value, limit)) for value in row]) for name, row in means.items()]


def _parameters(about: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters and versions as text."""
    values = flat({name: value for name, value in about.items() if name not in NOT_SHOWN})
    texts = {name: str(value) for name, value in values.items()}
    return {name: text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..." for name, text in texts.items()}
