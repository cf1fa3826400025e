"""Whatever moment a writer is killed at, the old file is there, or the new one, and it is whole.

A forked child that has imported everything writes, and is killed: at every step that Python tells an audit hook of, and
at random moments, because HDF5 and pandas write without telling. Then a few dozen true commands are killed.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData

from scdual._writing import finish_folder, write_file, write_folder
from scdual.cli import _demo, _fit, _pictures
from scdual.cli._app import app
from scdual.cli._files import write_h5ad
from scdual.datasets import simulate
from scdual.grn import RegulatoryNetwork, from_varp
from scdual.model import SCDual

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

N_RANDOM = 25
N_COMMANDS = 12
N_TESTS = 10
MOST_STEPS = 400

Write = Callable[[str], object]
State = Callable[[], str]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return an empty folder that holds nothing but what is written."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def kills() -> dict[str, int]:
    """Return how often each test has killed so far."""
    return {}


@pytest.fixture(scope="module")
def model() -> SCDual:
    adata = simulate(n_obs=150, n_vars=36, n_regulators=6)
    adata.obs["bulk_labels"] = adata.obs["cell_type"]
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(max_epochs=1, accelerator="cpu", batch_size=64)
    model.annotate()
    adata.obs["leiden"] = adata.obs["cell_type"]
    adata.obsm["X_umap"] = adata.obsm["X_scdual"][:, :2]
    return model


def start(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> tuple[int, int]:
    """Return the process that has begun to work, and the end of a pipe that closes with it."""
    ended, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.read(ended, 1)
        return child, ended
    status = 1
    try:
        os.close(ended)
        os.write(writing, b"x")
        before()
        work()
        status = 0
    finally:
        os._exit(status)


def is_killed(child: int, ended: int) -> bool:
    """Return whether the process was killed; anything but that or success fails the test."""
    _, status = os.waitpid(child, 0)
    os.close(ended)
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def kill_at_step(work: Callable[[], object], step: int, place: Path) -> bool:
    """Let a child do the work and kill itself before a step in the folder; return whether it came that far."""
    left = step

    def count(event: str, arguments: object) -> None:
        nonlocal left
        if event == "fcntl.flock" or (event.startswith(("open", "os.", "shutil.")) and str(place) in str(arguments)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    return is_killed(*start(work, lambda: sys.addaudithook(count)))


def kill_after(work: Callable[[], object], seconds: float, _: Path) -> bool:
    child, ended = start(work)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return is_killed(child, ended)


def seconds_of(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    assert not is_killed(*start(work))
    return time.perf_counter() - begin


def kill_often(write: Write, state: State, place: Path) -> int:
    """Kill a writer at each step and at random moments, look at what it leaves, and return how often it was killed."""
    write("old")
    assert state() == "old"
    seen, n_killed = {"old": 0, "new": 0}, 0
    for kill, moments in ((kill_at_step, range(1, MOST_STEPS)), (kill_after, random_moments(lambda: write("new")))):
        for moment in moments:
            write("old")
            killed = kill(lambda: write("new"), moment, place)
            seen[state()] += 1  # a KeyError is a destroyed file
            n_killed += killed
            if not killed and kill is kill_at_step:
                break
        else:
            assert kill is kill_after, "the writer has more steps than were tried"
    assert seen["old"]
    assert seen["new"]
    write("new")
    return n_killed


def random_moments(work: Callable[[], object]) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1.2 * np.median([seconds_of(work) for _ in range(3)]), size=N_RANDOM)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mark_of(path: Path) -> str:
    """Return what a whole AnnData says it is."""
    adata = anndata.read_h5ad(path)
    assert (np.asarray(adata.X[:, 0]) == {"old": 1, "new": 2}[adata.uns["mark"]]).all()
    return adata.uns["mark"]


def test_file(place: Path, kills: dict[str, int], request: pytest.FixtureRequest) -> None:
    path = place / "file.txt"

    def write(mark: str) -> None:
        with write_file(path) as part:
            part.write_text(mark * 10**6)

    texts = {mark * 10**6: mark for mark in ("old", "new")}
    kills[request.node.name] = kill_often(write, lambda: texts[path.read_text()], place)
    assert len(path.read_text()) == 3 * 10**6
    assert names(place) == ["file.txt"]


@pytest.mark.parametrize("name", ["model", "."])
def test_folder(place: Path, name: str, kills: dict[str, int], request: pytest.FixtureRequest) -> None:
    path = place / name
    path.mkdir(exist_ok=True)
    (path / "notes.txt").write_text("of the user")

    def write(mark: str) -> None:
        with write_folder(path, overwrite=True) as folder:
            for number in range(4):
                (folder / f"{number}.txt").write_text(mark * 1000)

    def state() -> str:
        finish_folder(path)
        assert (path / "notes.txt").read_text() == "of the user"
        texts = {(path / f"{number}.txt").read_text() for number in range(4)}
        assert len(texts) == 1
        return texts.pop()[:3]

    kills[request.node.name] = kill_often(write, state, place)
    assert names(path) == ["0.txt", "1.txt", "2.txt", "3.txt", "notes.txt"]


def test_new_folder(place: Path, kills: dict[str, int], request: pytest.FixtureRequest) -> None:
    path = place / "model"

    def write(mark: str) -> None:
        if mark == "old":
            for file in path.glob("*"):
                file.unlink()
            with suppress(FileNotFoundError):
                path.rmdir()
            return
        with write_folder(path, overwrite=True) as folder:
            for number in range(4):
                (folder / f"{number}.txt").write_text(mark * 1000)

    def state() -> str:
        if not path.exists():
            return "old"
        assert len(names(path)) == 4
        return "new"

    kills[request.node.name] = kill_often(write, state, place)
    assert names(place) == ["model"]


def test_annotated_file(place: Path, kills: dict[str, int], request: pytest.FixtureRequest) -> None:
    path = place / "out.h5ad"

    def write(mark: str) -> None:
        value = {"old": 1, "new": 2}[mark]
        write_h5ad(AnnData(np.full((500, 200), value, dtype=np.float32), uns={"mark": mark}), path)

    kills[request.node.name] = kill_often(write, lambda: mark_of(path), place)
    assert names(place) == ["out.h5ad"]


def test_edges(place: Path, network: RegulatoryNetwork, kills: dict[str, int], request: pytest.FixtureRequest) -> None:
    out = place / "edges.csv"
    genes = AnnData(np.zeros((2, len(network.targets)), dtype=np.float32))
    genes.var_names = network.targets
    tables = {}

    def write(mark: str) -> None:
        app(["edges", str(place.parent / f"{mark}.h5ad"), "-o", str(out)], standalone_mode=False)

    for mark, n_edges in (("old", 2), ("new", 5)):
        genes.varp["scdual_regulation"] = network.top(n_edges).to_varp()
        genes.write_h5ad(place.parent / f"{mark}.h5ad")
        write(mark)
        tables[out.read_text()] = mark
    kills[request.node.name] = kill_often(write, lambda: tables[out.read_text()], place)
    assert names(place) == ["edges.csv"]


def test_fit(
    place: Path, model: SCDual, monkeypatch: pytest.MonkeyPatch, kills: dict[str, int], request: pytest.FixtureRequest
) -> None:
    out, folder = place / "out.h5ad", place / "model"
    monkeypatch.setattr(model, "annotate", lambda **_: None)
    bias = next(iter(model.module.parameters())).data

    def write(mark: str) -> None:
        model.adata.uns["mark"] = mark
        bias.fill_({"old": 1, "new": 2}[mark])
        _fit.write_results(model, out, folder, labels_key=None)

    def state() -> str:
        saved = SCDual.load(str(folder), model.adata, accelerator="cpu")
        of_model = {1.0: "old", 2.0: "new"}[next(iter(saved.module.parameters())).data.unique().item()]
        of_file = anndata.read_h5ad(out).uns["mark"]
        assert (of_model, of_file) != ("old", "new")  # the model comes first
        return of_file

    kills[request.node.name] = kill_often(write, state, place)
    assert names(place) == ["model", "out.h5ad"]


def test_demo(
    place: Path, model: SCDual, monkeypatch: pytest.MonkeyPatch, kills: dict[str, int], request: pytest.FixtureRequest
) -> None:
    def save_pictures(adata: AnnData, *_: object, folder: Path, **__: object) -> None:  # drawing takes seconds
        for name in ("umap", "loss", "heatmap", "network"):
            (folder / f"{name}.png").write_text(adata.uns["mark"] * 10**4)

    monkeypatch.setattr(_pictures, "save_pictures", save_pictures)
    network = from_varp(model.adata.varp["scdual_regulation"], model.adata.var_names)
    contents = {}

    def write(mark: str) -> None:
        model.adata.uns["mark"] = mark
        _demo._write(model, network.top({"old": 3, "new": 9}[mark]), place)

    def state() -> str:
        finish_folder(place)
        assert set(names(place)) - {".scdual-part"} == set(_demo._FILES)
        adata = anndata.read_h5ad(place / "pbmc68k.h5ad")
        rest = tuple((place / name).read_bytes() for name in _demo._FILES if name != "pbmc68k.h5ad")
        assert contents.setdefault(adata.uns["mark"], rest) == rest
        return adata.uns["mark"]

    kills[request.node.name] = kill_often(write, state, place)
    assert set(names(place)) == set(_demo._FILES)


@pytest.fixture
def commands(place: Path, model: SCDual) -> dict[str, list[str]]:
    """Return commands whose results are large enough to be killed while they are written."""
    source = place.parent / "in.h5ad"
    big = AnnData(np.random.default_rng(0).poisson(1, size=(300, 200)).astype(np.float32))
    big.layers["more"] = np.ones((300, 200))
    big.varp["scdual_regulation"] = np.random.default_rng(0).normal(size=(200, 200)) * (1 - np.eye(200))
    big.write_h5ad(source)
    fit = ["fit", str(source), "-o", str(place / "out.h5ad"), "--regulators", "none", "--max-epochs", "1"]
    return {
        "edges": ["edges", str(source), "-o", str(place / "edges.csv")],
        "fit": [*fit, "--accelerator", "cpu"],
    }


@pytest.mark.parametrize(("name", "written"), [("edges", "edges.csv"), ("fit", "out.h5ad")])
def test_true_command(
    place: Path,
    commands: dict[str, list[str]],
    name: str,
    written: str,
    kills: dict[str, int],
    request: pytest.FixtureRequest,
) -> None:
    out = place / written
    run = [sys.executable, "-m", "scdual", *commands[name]]
    subprocess.run(run, check=True, capture_output=True)
    size = out.stat().st_size
    n_killed = 0
    for wait in np.random.default_rng(0).uniform(0, 0.02, size=N_COMMANDS):
        out.write_bytes(b"old")
        with subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            for _ in until(lambda process=process: part_of(out).exists() or process.poll() is not None):
                time.sleep(0.0005)
            time.sleep(wait)
            process.kill()
        n_killed += process.returncode == -signal.SIGKILL
        assert out.read_bytes() == b"old" or out.stat().st_size == size
    kills[request.node.name] = n_killed
    subprocess.run(run, check=True, capture_output=True)
    assert names(place) == [written]


def test_kills_were_many(kills: dict[str, int]) -> None:
    if len(kills) < N_TESTS:
        pytest.skip("only some of the tests ran")
    logging.getLogger(__name__).info("%s kills: %s", sum(kills.values()), kills)  # shown by -rP
    assert sum(kills.values()) >= 200, kills


def part_of(path: Path) -> Path:
    return path.with_name(f".{path.stem}.scdual-part{path.suffix}")


def until(is_true: Callable[[], bool], *, seconds: float = 120) -> Iterator[None]:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        yield
