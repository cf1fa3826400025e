"""Pictures are optional: importing them needs nothing, drawing says what to install."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from scdual import pl
from scdual.grn import RegulatoryNetwork


def test_importing_loads_neither_matplotlib_nor_networkx() -> None:
    code = "import sys, scdual.pl; print([name for name in ('matplotlib', 'networkx') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("function", [pl.network_graph, pl.regulation_heatmap, pl.regulator_ranking])
def test_drawing_without_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch, function: object) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'matplotlib not found.*pip install "scdual\[plots\]"'):
        function(RegulatoryNetwork(np.ones((1, 1)), pd.Index(["A"]), pd.Index(["x"])))


def test_curves_without_matplotlib_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"scdual\[plots\]"):
        pl.training_curves({"train_loss": pd.DataFrame({"train_loss": [1.0]})})


def test_comparison_without_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    network = RegulatoryNetwork(np.ones((1, 1)), pd.Index(["A"]), pd.Index(["x"]))
    with pytest.raises(ModuleNotFoundError, match=r"scdual\[plots\]"):
        pl.network_comparison(network, network)
