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


def test_there_are_no_tips_and_nothing_is_said_twice(model: SCDual, caplog: pytest.LogCaptureFixture) -> None:
    talkers = [logging.getLogger(f"lightning.{room}.utilities.rank_zero") for room in ("fabric", "pytorch")]
    filters = [list(talker.filters) for talker in talkers]
    for talker in talkers:
        caplog.set_level(logging.INFO, talker.name)
    model.train(1)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("lightning")]
    assert any(line.startswith("GPU available") for line in said)
    assert len(said) == len(set(said))
    assert not [line for line in said if "Tip" in line or line.startswith("Loading `train_dataloader`")]
    assert [list(talker.filters) for talker in talkers] == filters


def test_there_are_no_warnings_on_which_nobody_can_act(model: SCDual) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train(1)
        model.train(1)
        model.train_ensemble(2, max_epochs=1)
    assert [str(warning.message) for warning in caught] == []
