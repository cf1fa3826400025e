"""How much do the tuned numbers of the map matter? Each is halved and doubled, all others as they are.

The map alone is learnt, on the data sets of the network benchmark. The table shows by how many percent the score of a reference
changes on average, over all references whose density is at most a third, and over the simulated ones among them, whose
truth is known. ``MapSettings`` says what each number does. Those that only the transformer's steps or a prior network use
are left out: the map without a prior does not depend on them.

Usage: python benchmarks/sensitivity.py [--sets sergio_100 ...] [--out benchmarks/results]
"""

from dataclasses import fields, replace
from typing import Any

import pandas as pd
from _cells import apart, check_data, parser_of
from _grn_data import load
from _grn_report import LARGEST_DENSITY
from _grn_scdual import scdual_map
from _tables import markdown, merge, write_report
from grn import SETS, score

from scdual.module import SCDualModule

DEFAULT = SCDualModule.map_settings
OF_STEPS = ("unfitted_visible_share", "largest_gate", "gate_rank", "gate_rate")
OF_PRIORS = ("largest_trust", "doubtful_edges")
OF_MEMORY = ("pca_chunk", "target_chunk")
VARIED = tuple(f.name for f in fields(DEFAULT) if f.name not in (*OF_STEPS, *OF_PRIORS, *OF_MEMORY))
FACTORS = (0.5, 2.0)
KEYS = ["set", "network", "setting", "factor"]
SCORES = {"auprc_ratio": "AUPRC ratio", "epr": "EPR"}


def rows(name: str) -> list[dict[str, Any]]:
    """Return the scores of one data set under all settings; meant for a process of its own."""
    data, found = load(name), []
    for setting, factor in [("none", 1.0), *((setting, factor) for setting in VARIED for factor in FACTORS)]:
        value = (
            {} if setting == "none" else {setting: type(getattr(DEFAULT, setting))(factor * getattr(DEFAULT, setting))}
        )
        SCDualModule.map_settings = replace(DEFAULT, **value)
        varied = {"set": name, "setting": setting, "factor": factor}
        found += [varied | row for row in score("scdual", scdual_map(data)["scdual"], data)]
    return [{key: row[key] for key in (*KEYS, *SCORES, "density")} for row in found]


def report(table: pd.DataFrame) -> str:
    """Return the mean change of the scores with each setting, in percent."""
    table = table[table["density"] <= LARGEST_DENSITY]
    wide = table.pivot_table(index=["set", "network"], columns=["setting", "factor"], values=list(SCORES))
    change = pd.concat({key: wide[key].div(wide[key, "none", 1.0], axis=0) - 1 for key in SCORES}, axis=1)
    groups = {"all": change, "simulated": change[change.index.get_level_values("network") == "truth"]}
    columns = [(key, group, factor) for key in SCORES for group in groups for factor in FACTORS]
    header = ["setting", "default"] + [f"{SCORES[key]}, {group}, times {factor:g}" for key, group, factor in columns]
    body = [
        [setting, f"{getattr(DEFAULT, setting):g}"]
        + [f"{100 * groups[group][key, setting, factor].mean():+.1f}" for key, group, factor in columns]
        for setting in VARIED
    ]
    counts = ", ".join(f"{group}: {len(part)} references" for group, part in groups.items())
    return f"{counts}; mean change in percent.\n\n{markdown(header, body)}"


def main() -> None:
    """Run, merge and report."""
    chosen = parser_of(__doc__, SETS).parse_args()
    check_data()
    for name in chosen.sets:
        order = {"set": SETS, "setting": ("none", *VARIED)}
        table = merge(apart(rows, name), chosen.out / "sensitivity.csv", keys=KEYS, order=order)
        write_report(chosen.out / "sensitivity.md", "Sensitivity to the settings of the map", __doc__, report(table))
        print(name, flush=True)


if __name__ == "__main__":
    main()
