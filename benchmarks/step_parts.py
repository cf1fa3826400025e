"""Where does a step of SCDual spend its time, and how near is it to what the processor can do?

A step of 128 cells is cut into parts, forward and backward pass together: the encoder, the count decoder with the
likelihood, the divergence from the prior, and the map, which every fourth step has; its numbers are given for a step with it.
Time is that of the processor, the median of many steps, on one thread. Operations are those of matrix products and of the
sums over expressed genes. Bytes are what all operations read and write, most of them from and to the cache. The limit is what both would take at the
rates that a large matrix product and a large copy reach here. scVI's step, cut in no parts, stands beside it.

Usage: OMP_NUM_THREADS=1 python benchmarks/step_parts.py [--sets pbmc3k kang_ifnb] [--steps 60]
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from _cells import RESULTS, check_data
from _tables import markdown
from anndata import read_h5ad
from scvi.model import SCVI
from speed import BATCH_SIZE, MAP_EVERY, built, stepper, write_counts
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from scdual.model import SCDual
from scdual.module._losses import reconstruction_loss
from scdual.nn import kl_to_prior

PARTS = ("loading", "encoder", "decoder, likelihood", "prior", "map", "optimiser")


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, and the multiplications of sums over expressed genes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.sparse = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; views move nothing."""
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            touched = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.untyped_storage().nbytes() if 0 in x.stride() else x.nbytes for x in touched)
        if "_embedding_bag" in str(func):
            self.sparse += 2 * args[1].numel() * args[0].shape[1]
        return result


class Parts:
    """Time, operations and bytes of the parts of a step."""

    def __init__(self, model: SCDual) -> None:
        self.module = model.module.train()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.operations: dict[str, float] = defaultdict(float)
        self.traffic: dict[str, float] = defaultdict(float)
        self.is_counting = False
        self.loader = model._data_splitter_cls(model.adata_manager, train_size=1.0, batch_size=BATCH_SIZE)
        self.loader.setup()
        self.module.fit_scale(self.loader.train_dataloader())
        plan = model._training_plan_cls(self.module)
        self.optimizer = torch.optim.AdamW(plan.parameters(), lr=1e-3, fused=True)
        self.batches: Iterator[Any] = iter(())

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what is done inside, or count it."""
        if self.is_counting:
            with FlopCounterMode(display=False) as flops, Traffic() as traffic:
                yield
            self.operations[name] += flops.get_total_flops() + traffic.sparse
            self.traffic[name] += traffic.bytes
            return
        start = time.process_time()
        yield
        self.seconds[name][-1] += time.process_time() - start

    def step(self) -> None:
        """Make a step, with the map."""
        for name in PARTS:
            self.seconds[name].append(0.0)
        with self.part("loading"):
            tensors = next(self.batches, None)
            if tensors is None:
                self.batches = iter(self.loader.train_dataloader())
                tensors = next(self.batches)
        self.optimizer.zero_grad()
        with self.part("encoder"):
            inferred = self.module.infer(tensors)
        z = inferred["z"].detach().requires_grad_()
        with self.part("decoder, likelihood"):
            generated = self.module.generate(tensors, inferred | {"z": z})
            reconstruction_loss(generated["px"], tensors["X"]).mean().backward()
        with self.part("prior"):
            kl = kl_to_prior(inferred["qz"], inferred["z"], generated["pz"]).mean()
        with self.part("encoder"):
            torch.autograd.backward([kl, inferred["z"]], [torch.ones_like(kl), z.grad])
        with self.part("map"):
            self.module.regulation_objective(tensors)[0].backward()
        with self.part("optimiser"):
            self.optimizer.step()


def rates() -> tuple[float, float]:
    """Return operations and bytes per second of this processor, in a large matrix product and a large copy."""
    a, b = torch.randn(1_024, 2_048), torch.randn(2_048, 1_024)
    large, other = torch.randn(2**25), torch.empty(2**25)
    product, copy = median(lambda: a @ b, 20), median(lambda: other.copy_(large), 10)
    return 2 * a.numel() * b.shape[1] / product, 2 * large.nbytes / copy


def median(function: Callable[[], Any], n: int) -> float:
    """Return the median seconds of some calls."""
    found = []
    for _ in range(n):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return statistics.median(found)


def row(name: str, n_steps: int, rate: tuple[float, float]) -> list[list[str]]:
    """Return the rows of a data set."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counts.h5ad"
        write_counts(name, path)
        adata = read_h5ad(path)
    parts = Parts(built(SCDual, adata, regulators="regulator"))
    for _ in range(n_steps):
        parts.step()
    seconds = {part: statistics.median(found) for part, found in parts.seconds.items()}
    parts.is_counting = True
    parts.step()
    rows, total = [], [0.0, 0.0]
    for part in PARTS:
        flops, moved = parts.operations[part], parts.traffic[part]
        limit = flops / rate[0] + moved / rate[1]
        rows.append([name, part, *(f"{x:.1f}" for x in (1e3 * seconds[part], flops / 1e6, moved / 1e6, 1e3 * limit))])
        share = 1 / MAP_EVERY if part == "map" else 1
        total = [total[0] + share * seconds[part], total[1] + share * limit]
    rows.append([name, "a step, on average", f"{1e3 * total[0]:.1f}", "", "", f"{1e3 * total[1]:.1f}"])
    beside = median(stepper(built(SCVI, adata)), n_steps)
    return [*rows, [name, "a step of scVI", f"{1e3 * beside:.1f}", "", "", ""]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=["pbmc3k", "kang_ifnb"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    given = parser.parse_args()
    check_data()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rate = rates()
    head = ["data", "part", "ms", "million operations", "MB read and written", "limit, ms"]
    body = [cells for name in given.sets for cells in row(name, given.steps, rate)]
    torch.set_num_threads(1)  # numba sets it back
    text = (
        f"# Parts of a step\n\n{(__doc__ or '').partition('Usage:')[0].strip()}\n\n{markdown(head, body)}\n\n"
        f"Rates: {rate[0] / 1e9:.0f} billion operations and {rate[1] / 1e9:.1f} GB per second.\n"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "step_parts.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
