"""A saved model that was damaged or tampered with never loads with other numbers, and runs no code."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from safetensors.torch import load_file, save_file

from scdual.datasets import simulate
from scdual.model import SCDual

SMALL = {"n_embed": 8, "n_hidden": 8, "n_latent": 2, "n_pool": 2, "n_heads": 1}
FILES = ("model.json", "model.safetensors", "adata.h5ad")
N_MUTATED = 150
LONGEST_SENTENCE = 700


def small_model(seed: int) -> SCDual:
    scvi.settings.seed = seed
    adata = simulate(60, 12, n_regulators=3, seed=seed)
    adata = adata[np.ravel(adata.X.sum(axis=1)) > 0].copy()  # an empty cell is a warning
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", **SMALL)
    model.train(1)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of two models of the same sizes."""
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("model", "other")):
        small_model(seed).save(root / name, save_anndata=True)
    return root / "model", root / "other"


@pytest.fixture(scope="module")
def intact(folders: tuple[Path, Path]) -> SCDual:
    return SCDual.load(folders[0])


def flip_bit(folder: Path, other: Path, rng: np.random.Generator) -> None:
    path = folder / rng.choice(FILES)
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def change_bytes(folder: Path, other: Path, rng: np.random.Generator) -> None:
    path = folder / rng.choice(FILES)
    content = bytearray(path.read_bytes())
    start, length = rng.integers(len(content)), rng.integers(1, 200)
    content[start : start + length] = rng.bytes(length)
    path.write_bytes(content)


def cut_off(folder: Path, other: Path, rng: np.random.Generator) -> None:
    path = folder / rng.choice(FILES)
    path.write_bytes(path.read_bytes()[: rng.integers(path.stat().st_size)])


def append(folder: Path, other: Path, rng: np.random.Generator) -> None:
    with (folder / rng.choice(FILES)).open("ab") as file:
        file.write(rng.bytes(rng.integers(1, 50)))


def swap_tensors(folder: Path, other: Path, rng: np.random.Generator) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = rng.permutation(sorted(tensors))
    pairs = [
        (one, two)
        for i, one in enumerate(names)
        for two in names[i + 1 :]
        if tensors[one].shape == tensors[two].shape and not torch.equal(tensors[one], tensors[two])
    ]
    one, two = pairs[rng.integers(len(pairs))]
    tensors[one], tensors[two] = tensors[two], tensors[one]
    save_file(tensors, folder / "model.safetensors")


def scale_tensor(folder: Path, other: Path, rng: np.random.Generator) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = rng.choice(sorted(name for name, values in tensors.items() if values.is_floating_point() and values.any()))
    save_file(tensors | {name: tensors[name] * 1.01}, folder / "model.safetensors")


def delete(folder: Path, other: Path, rng: np.random.Generator) -> None:
    (folder / rng.choice(FILES)).unlink()


def take_from_other(folder: Path, other: Path, rng: np.random.Generator) -> None:
    name = rng.choice(FILES)
    shutil.copy(other / name, folder / name)


def duplicate(folder: Path, other: Path, rng: np.random.Generator) -> None:
    one, two = rng.choice(FILES, 2, replace=False)
    shutil.copy(folder / one, folder / two)


def edit_number(folder: Path, other: Path, rng: np.random.Generator) -> None:
    text = (folder / "model.json").read_text()
    digits = [i for i, letter in enumerate(text) if letter.isdigit()]
    place = rng.choice(digits)
    (folder / "model.json").write_text(
        f"{text[:place]}{(int(text[place]) + rng.integers(1, 10)) % 10}{text[place + 1 :]}"
    )


MUTATIONS = (
    *(flip_bit, flip_bit, flip_bit, change_bytes, cut_off, append, swap_tensors, scale_tensor),
    *(delete, take_from_other, duplicate, edit_number, edit_number),
)


def outcome(folder: Path, intact: SCDual) -> str:
    """Return what loading gives: ``"same"``, a sentence, or what is wrong."""
    try:
        loaded = SCDual.load(folder)
    except ValueError as error:
        text = str(error)
        is_sentence = text.endswith(".") and "\n" not in text and len(text) < LONGEST_SENTENCE
        return "sentence" if is_sentence else f"vague: {text}"
    except Exception as error:  # noqa: BLE001 - any other error is what the test looks for
        return f"raised {error!r}"
    one, two = loaded.module.state_dict(), intact.module.state_dict()
    is_same = loaded.adata is not None and all(torch.equal(one[name], two[name]) for name in two)
    return "same" if is_same and (loaded.adata.X != intact.adata.X).nnz == 0 else "other numbers"


@pytest.fixture
def no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        pytest.fail("a pickle was opened")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)


@pytest.mark.usefixtures("no_code")
def test_no_mutated_model_loads_with_other_numbers(folders: tuple[Path, Path], intact: SCDual, tmp_path: Path) -> None:
    found = {}
    for seed in range(N_MUTATED):
        mutate = MUTATIONS[seed % len(MUTATIONS)]
        folder = tmp_path / str(seed)
        shutil.copytree(folders[0], folder)
        mutate(folder, folders[1], np.random.default_rng(seed))
        found[seed, mutate.__name__] = outcome(folder, intact)
    assert {case: what for case, what in found.items() if what not in {"sentence", "same"}} == {}
    assert sum(what == "same" for what in found.values()) <= N_MUTATED // 20  # a mutation that changes nothing


class Touch:
    """Make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "model.pt", "adata.h5ad"])
def test_code_in_place_of_a_file_is_not_run(folders: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    folder, trace = tmp_path / "model", tmp_path / "was here"
    shutil.copytree(folders[0], folder)
    torch.save({"attr_dict": Touch(trace)}, folder / name)
    if name == "model.pt":
        (folder / "model.json").unlink()
    uses: list[Callable[[], Any]] = [lambda: SCDual.load(folder), lambda: SCDual.load_query_data(AnnData(), folder)]
    uses += [lambda: SCDual.load_registry(folder), lambda: SCDual.repeat(AnnData(), folder)]
    for use in uses if name != "adata.h5ad" else uses[:1]:
        if name == "model.safetensors" and use in uses[2:]:
            continue  # which do not read weights
        with pytest.raises((ValueError, AttributeError)):
            use()
    assert not trace.exists()
    if name == "model.pt":
        with pytest.raises(ValueError, match="cannot be read as a model"):
            SCDual.load(folder, trust=True)
        assert trace.exists()  # the test would have seen it


def test_a_forged_checksum_gives_a_sentence_when_values_do_not_fit(folders: tuple[Path, Path], tmp_path: Path) -> None:
    from scdual._saved import _checksum

    text = (folders[0] / "model.json").read_text()
    for path in (
        ["attributes"],
        ["record"],
        ["attributes", "registry_"],
        ["attributes", "init_params_"],
        ["var_names"],
    ):
        folder = tmp_path / "-".join(path)
        shutil.copytree(folders[0], folder)
        manifest = json.loads(text)
        place = manifest["content"]
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = 3
        del manifest["sha256"]
        (folder / "model.json").write_text(json.dumps(manifest | {"sha256": _checksum(manifest)}))
        if path != ["var_names"]:
            with pytest.raises(ValueError, match=r"lacks what scdual writes"):
                SCDual.load(folder)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["init_params_", "non_kwargs", "prior"], "/etc/passwd", "`prior` is of type str"),
        (["init_params_", "non_kwargs", "regulators"], "auto", "not those the model was built with"),
        (["gene_names_", 0], "OTHER", "`gene_names_` are not the genes of the registry"),
        (["regulators_", 0], "OTHER", "`regulators_` are not genes"),
        (["is_trained_"], "no", "`is_trained_` is 'no', expected True or False"),
        (["get_normalized_function_name_"], "save", "`get_normalized_function_name_` is another method"),
    ],
)
def test_values_of_other_types_or_that_contradict_each_other(
    folders: tuple[Path, Path], tmp_path: Path, path: list[Any], value: Any, said: str
) -> None:
    from scdual._saved import _checksum

    shutil.copytree(folders[0], tmp_path / "model")
    manifest = json.loads((folders[0] / "model.json").read_text())
    place = manifest["content"]["attributes"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    del manifest["sha256"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(manifest | {"sha256": _checksum(manifest)}))
    with pytest.raises(ValueError, match=f"scdual cannot have written .*{said}"):
        SCDual.load(tmp_path / "model")


@pytest.mark.parametrize("version", [-5, True, "0", 0.0])
def test_versions_are_whole_numbers_from_zero(folders: tuple[Path, Path], tmp_path: Path, version: Any) -> None:
    from scdual._saved import _checksum

    shutil.copytree(folders[0], tmp_path / "model")
    manifest = json.loads((folders[0] / "model.json").read_text()) | {"version": version}
    del manifest["sha256"]
    (tmp_path / "model" / "model.json").write_text(json.dumps(manifest | {"sha256": _checksum(manifest)}))
    with pytest.raises(ValueError, match="written by another program, or is damaged"):
        SCDual.load(tmp_path / "model")
