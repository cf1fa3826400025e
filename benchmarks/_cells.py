"""Data sets of labelled cells, and work in processes of its own."""

import argparse
import multiprocessing
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData, read_h5ad

DATA = Path(os.environ.get("SCDUAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
RESULTS = Path(__file__).parent / "results"


def parser_of(
    doc: str | None,
    sets: Sequence[str],
    methods: Iterable[str] = (),
    *,
    usual_sets: Iterable[str] = (),
    usual_methods: Iterable[str] = (),
) -> argparse.ArgumentParser:
    """Return a parser that knows sets, methods if there are any, and folder; all are run unless some are the usual ones."""
    methods = list(methods)
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = list(usual_sets or sets)
    parser.add_argument("--sets", nargs="+", choices=sets, default=usual, metavar="SET", help=", ".join(sets))
    if methods:
        usual = list(usual_methods or methods)
        on_request = ", ".join(repr(method) for method in methods if method not in usual)
        told = ", ".join(map(repr, usual)) + (f"; only if named: {on_request}" if on_request else "")
        parser.add_argument("--methods", nargs="+", choices=methods, default=usual, metavar="METHOD", help=told)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    return parser


def arguments(doc: str, sets: Sequence[str], methods: Iterable[str]) -> argparse.Namespace:
    """Return sets, methods, seeds and folder asked for; stop with one sentence if the data are missing."""
    parser = parser_of(doc, sets, methods)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    chosen = parser.parse_args()
    check_data()
    return chosen


def check_data() -> None:
    """Stop with one sentence if the data are missing."""
    if not (DATA / "cells").is_dir():
        sys.exit(f"{DATA / 'cells'} is missing: set SCDUAL_DATA to the folder that holds grn/ and cells/.")


def load(name: str) -> AnnData:
    """Return the counts of a data set with ``cell_type`` and ``batch``."""
    adata = read_h5ad(DATA / "cells" / f"{name}.h5ad")
    if "batch" not in adata.obs:
        adata.obs["batch"] = pd.Categorical(["all"] * adata.n_obs)
    return adata


def measured(work: Callable[..., Any], *given: Any) -> tuple[Any, dict[str, float]]:
    """Return a result with its seconds and the peak memory of the process."""
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    result = work(*given)
    seconds = time.perf_counter() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return result, {"seconds": round(seconds, 2), "peak_memory_mb": round(memory)}


def apart(work: Callable[..., Any], *given: Any) -> Any:
    """Return the result of a function that runs in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given).result()
