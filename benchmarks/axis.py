"""What if the leading axis of the cells, such as time or state, is taken out of the map?

The first principal component of depth-normalised log values is registered as a continuous covariate, of which the map is
free. Scores against known networks as in `grn.py`, with and without it, and the share of the 1,000 strongest edges that two
random halves of the cells have in common. `share` is that of the variance which the component explains.

Usage: python benchmarks/axis.py [--sets beeline_mESC ...] [--out benchmarks/results]
"""

from dataclasses import replace
from typing import Any

import numpy as np
import scvi
from _cells import apart, check_data, parser_of
from _grn_data import DataSet, load
from _tables import markdown, merge, number, write_report
from anndata import AnnData
from grn import SETS, score

from scdual.model import SCDual

USUAL = ("beeline_mESC", "beeline_mDC", "beeline_mHSC-E", "kang_ifnb", "pbmc3k", "sergio_400", "sergio_DS4")
N_STRONGEST = 1_000
SCORES = {"auprc_ratio": "AUPRC ratio", "epr": "EPR"}


def learnt_map(data: DataSet, axis: np.ndarray | None) -> np.ndarray:
    """Return the map of the cells, free of their place on an axis if one is given."""
    scvi.settings.seed = data.seed
    counts = data.values if data.is_counts else np.expm1(data.values)
    adata = AnnData(counts.astype(np.float32))
    adata.var_names = data.genes
    adata.obs["size_factor"] = counts.sum(1).mean()
    if axis is not None:
        adata.obs["axis"] = axis
    SCDual.setup_anndata(
        adata,
        size_factor_key=None if data.is_counts else "size_factor",
        require_counts=data.is_counts,
        continuous_covariate_keys=None if axis is None else ["axis"],
    )
    model = SCDual(adata, regulators=list(data.regulators))
    model.train_map()
    return model.get_regulation().weight * data.pair_mask


def rows(name: str) -> list[dict[str, Any]]:
    """Return the scores of one data set, with the axis and without it; meant for a process of its own."""
    data = load(name)
    left, singular, _ = np.linalg.svd(data.z_expr, full_matrices=False)
    axis, share = left[:, 0] * len(left) ** 0.5, singular[0] ** 2 / (singular**2).sum()
    halves = np.array_split(np.random.default_rng(data.seed).permutation(len(axis)), 2)
    found = []
    for is_out in (False, True):
        maps = [learnt_map(replace(data, values=data.values[half]), axis[half] if is_out else None) for half in halves]
        weight = learnt_map(data, axis if is_out else None)
        common = {"set": name, "axis_out": is_out, "share": round(share, 3), "overlap": overlap(*maps)}
        found += [common | {key: row[key] for key in ("network", *SCORES)} for row in score("scdual", weight, data)]
    return found


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of the strongest edges that two maps have in common; NaN if one has fewer."""
    strongest = [set(np.argsort(-np.abs(weight), axis=None)[:N_STRONGEST].tolist()) for weight in (first, second)]
    if min(np.count_nonzero(first), np.count_nonzero(second)) < N_STRONGEST or first.size < 3 * N_STRONGEST:
        return float("nan")
    return len(strongest[0] & strongest[1]) / N_STRONGEST


def main() -> None:
    """Run, merge and report."""
    chosen = parser_of(__doc__, SETS, usual_sets=USUAL).parse_args()
    check_data()
    for name in chosen.sets:
        keys = ["set", "network", "axis_out"]
        table = merge(apart(rows, name), chosen.out / "axis.csv", keys=keys, order={"set": SETS})
        values = [*SCORES, "overlap"]
        wide = table.pivot_table(
            index=["set", "share", "network"], columns="axis_out", values=values, dropna=False, sort=False
        )
        wide = wide.dropna(how="all")
        columns = [(value, is_out) for value in values for is_out in (False, True)]
        body = [
            [" / ".join((key[0], key[2])), number(key[1]), *(number(row[c]) for c in columns)]
            for key, row in wide.iterrows()
        ]
        names = SCORES | {"overlap": "overlap of halves"}
        header = [
            "reference",
            "share",
            *(names[value] + (", axis taken out" if is_out else "") for value, is_out in columns),
        ]
        write_report(chosen.out / "axis.md", "The leading axis", __doc__, markdown(header, body))
        print(name, flush=True)


if __name__ == "__main__":
    main()
