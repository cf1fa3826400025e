"""Do the family rules call the transcription factors that published lists name?

Run ``python benchmarks/regulators.py`` from the repository root. The data folder is ``$SCDUAL_DATA``, else
``../shared/data``. Lists hold positives only, so the negatives are the other genes of the data sets: precision is the
share of the called genes of the universe (genes of the data and of the list) that stand on the list, recall the share
of the list that is called. Genes of the list that no data set holds can only help precision; "precision, data" is
taken among the genes of the data alone and is the stricter number.

The mouse list (MGI, by pySCENIC) also names hundreds of genes without a DNA-binding domain (Rpl6, Cycs, Psma6) and
zinc fingers that have no symbol yet (Gm14295); no rule on families can or should call the former. The line below the
table therefore takes the human list, whose genes were judged one by one, as a second opinion.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import h5py
import pandas as pd
from anndata.io import read_elem

from scdual._types import Organism
from scdual.data._regulators import transcription_factors

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SCDUAL_DATA", ROOT / ".." / "shared" / "data")).resolve()
LISTS: dict[Organism, str] = {
    "human": "priors/tfs_human_lambert2018.txt",
    "mouse": "priors/tfs_mouse_mgi_pyscenic.txt",
}
DATA_SETS: dict[Organism, dict[str, str]] = {  # file -> group that holds `var`
    "human": {
        "cells/pbmc3k.h5ad": "var",
        "cells/pbmc_3tech.h5ad": "var",
        "cells/kang_ifnb.h5ad": "var",
        "cells/cellbench_3cl.h5ad": "var",
        "perturb/norman_mcfaline.h5ad": "var",
        "cite/pbmc_10k_protein_200.h5mu": "mod/rna/var",
        "cite/pbmc_5k_protein_200.h5mu": "mod/rna/var",
        "cite/eccite_pbmc_500.h5mu": "mod/rna/var",
    },
    "mouse": {
        "cells/paul15.h5ad": "var",
        "grn/beeline_mDC/expression.h5ad": "var",
        "grn/beeline_mHSC-E/expression.h5ad": "var",
    },
}


class Agreement(NamedTuple):
    """Counts of one comparison; `n_data` counts restrict it to genes that a data set holds."""

    n_data: int
    n_listed: int
    n_universe: int
    n_called: int
    n_correct: int
    n_called_data: int
    n_correct_data: int

    def row(self, name: str) -> str:
        """Return one line of the Markdown table."""
        shares = (
            self.n_correct / self.n_called,
            self.n_correct / self.n_listed,
            self.n_correct_data / self.n_called_data,
        )
        return f"| {name} | {' | '.join(map(str, self))} | {' | '.join(f'{share:.3f}' for share in shares)} |"


def listed_genes(organism: Organism) -> set[str]:
    return set((DATA / LISTS[organism]).read_text().split())


def data_genes(organism: Organism) -> set[str]:
    names: set[str] = set()
    for file, group in DATA_SETS[organism].items():
        with h5py.File(DATA / file) as handle:
            var: pd.DataFrame = read_elem(handle[group])
        # BEELINE wrote mouse symbols in capitals.
        is_capital = organism == "mouse" and file.startswith("grn/beeline")
        names |= {name.capitalize() if is_capital else name for name in var.index}
    return names


def compare(organism: Organism, data: set[str], listed: set[str]) -> Agreement:
    universe = sorted(data | listed)
    is_called = transcription_factors(universe, organism)
    called = {name for name, is_factor in zip(universe, is_called, strict=True) if is_factor}
    in_data = called & data
    return Agreement(
        len(data), len(listed), len(universe), len(called), len(called & listed), len(in_data), len(in_data & listed)
    )


def main() -> int:
    needed = [*LISTS.values(), *DATA_SETS["human"], *DATA_SETS["mouse"]]
    missing = [file for file in needed if not (DATA / file).is_file()]
    if missing:
        print(
            f"{len(missing)} of {len(needed)} files are not in {DATA}, e.g. {missing[:3]}. "
            "Set SCDUAL_DATA to the data folder.",
            file=sys.stderr,
        )
        return 1
    human, mouse = listed_genes("human"), listed_genes("mouse")
    human_as_mouse = {name.capitalize() for name in human}
    mouse_data = data_genes("mouse")
    print("| list | genes in data | listed | universe | called | called and listed", end=" ")
    print("| called, data | called and listed, data | precision | recall | precision, data |")
    print("|---" * 11 + "|")
    print(compare("human", data_genes("human"), human).row("human, Lambert 2018"))
    print(compare("mouse", mouse_data, mouse).row("mouse, MGI by pySCENIC"))
    # A called gene on one list alone is no clear mistake, nor is a gene missed that only one list names.
    both = compare("mouse", mouse_data, mouse & human_as_mouse)
    either = compare("mouse", mouse_data, mouse | (human_as_mouse & mouse_data))
    print(
        f"\nMouse genes on both lists: {both.n_listed}, of which called {both.n_correct} "
        f"(recall {both.n_correct / both.n_listed:.3f}). Called mouse genes on either list: {either.n_correct} of "
        f"{either.n_called} (precision {either.n_correct / either.n_called:.3f})."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
