"""One process reads the cells of all, and the others take over what it has."""

from types import SimpleNamespace

import pytest
import torch
from lightning import LightningDataModule
from scvi.dataloaders import BatchDistributedSampler
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from scdual.module._processes import AllCells, share_split

N = 23


class Cells(LightningDataModule):
    """Loaders that give one of three processes its share."""

    def __init__(self, *, in_batches: bool) -> None:
        super().__init__()
        self.in_batches = in_batches

    def _loader(self, cells: torch.Tensor) -> DataLoader:
        data, share = TensorDataset(cells), {"num_replicas": 3, "rank": 1, "shuffle": True}
        if self.in_batches:  # as scvi-tools does
            return DataLoader(data, batch_size=None, sampler=BatchDistributedSampler(data, batch_size=4, **share))
        return DataLoader(data, batch_size=4, sampler=DistributedSampler(data, **share))

    def train_dataloader(self) -> DataLoader:
        return self._loader(torch.arange(N))

    def val_dataloader(self) -> DataLoader:
        return self._loader(torch.arange(N, N + 5))


def read(batches: object) -> list[int]:
    return [int(cell) for (cells,) in batches for cell in cells]


@pytest.mark.parametrize("in_batches", [True, False])
def test_the_cells_of_all_processes_are_read_each_once_as_often_as_asked(in_batches: bool) -> None:
    cells = AllCells(Cells(in_batches=in_batches))
    shares = [read(loader) for loader in cells.loaders]
    for _ in range(2):
        assert sorted(read(cells)) == list(range(N + 5))
    assert [read(loader) for loader in cells.loaders] == shares  # training still gets its share
    assert len(shares[0]) == 8  # a third, rounded up


def test_reading_may_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = AllCells(Cells(in_batches=True))
    for _ in cells:
        break
    assert cells.loaders[0].sampler.num_replicas == 3


def test_the_split_of_the_first_process_counts() -> None:
    def broadcast(split: list[list[int]]) -> list[list[int]]:
        return [[2], [1], [0]]

    datamodule = SimpleNamespace(train_idx=[0], val_idx=[1], test_idx=[2])
    trainer = SimpleNamespace(datamodule=datamodule, world_size=1, strategy=SimpleNamespace(broadcast=broadcast))
    share_split(trainer)
    assert datamodule.train_idx == [0]
    trainer.world_size = 2
    share_split(trainer)
    assert (datamodule.train_idx, datamodule.val_idx, datamodule.test_idx) == ([2], [1], [0])
    trainer.datamodule = SimpleNamespace()  # of the user's own making
    share_split(trainer)


class RawCells(LightningDataModule):
    """Loaders, as annbatch's, that are any iterable, and whose batches become minibatches on their way to the device."""

    def train_dataloader(self) -> list[list[int]]:
        return [[0, 1], [2]]

    def val_dataloader(self) -> list[list[int]]:
        return []

    def on_before_batch_transfer(self, batch: list[int], dataloader_idx: int) -> dict[str, torch.Tensor]:
        assert dataloader_idx == 0
        return {"X": torch.tensor(batch)}


def test_batches_are_made_minibatches_as_in_training() -> None:
    cells = AllCells(RawCells())
    for _ in range(2):
        assert [tensors["X"].tolist() for tensors in cells] == [[0, 1], [2]]
