"""Lightning gives no tips, and what it says is said once."""

import logging
import warnings

import pytest
from anndata import AnnData

from scdual.model import SCDual


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    SCDual.setup_anndata(adata)
    return SCDual(adata, regulators="regulator")


def test_there_are_no_tips_and_nothing_is_said_twice(model: SCDual, monkeypatch: pytest.MonkeyPatch) -> None:
    talkers = [logging.getLogger(f"lightning.{room}.utilities.rank_zero") for room in ("fabric", "pytorch")]
    filters = [list(talker.filters) for talker in talkers]
    heard = logging.Handler()
    said: list[str] = []
    monkeypatch.setattr(heard, "emit", lambda record: said.append(record.getMessage()))
    for talker in talkers:  # some versions do not pass on to the root what they say
        monkeypatch.setattr(talker, "handlers", [heard])
        monkeypatch.setattr(talker, "propagate", False)
        monkeypatch.setattr(talker, "level", logging.INFO)
    model.train(1)
    assert any(line.startswith("GPU available") for line in said)
    assert len(said) == len(set(said))
    assert not [line for line in said if "Tip" in line or line.startswith("Loading `train_dataloader`")]
    assert [list(talker.filters) for talker in talkers] == filters


def test_there_are_no_warnings_on_which_nobody_can_act(model: SCDual) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train(1)
        model.train(1)
        model.train_ensemble(2)
    assert [str(warning.message) for warning in caught] == []
