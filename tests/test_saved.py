"""The files of a saved model are described by `model.json`, which finds every change."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from scdual import _saved
from scdual._saved import check_file, check_overwritten, is_scvi_pickle, read_checked, read_manifest, write_content

CONTENT = {"a": (1, None), "b": float("nan")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    write_content(folder, CONTENT)
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    """Change values of `model.json` and make its checksum right again."""
    manifest = json.loads((folder / "model.json").read_text()) | changes
    del manifest["sha256"]
    manifest["sha256"] = _saved._checksum(manifest)
    (folder / "model.json").write_text(json.dumps(manifest))


def test_content_and_files_come_back(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert repr(manifest["content"]) == repr(CONTENT)
    assert manifest["version"] == _saved.VERSION
    assert list(manifest["files"]) == ["model.safetensors"]
    assert read_checked(folder / "model.safetensors", manifest["files"]["model.safetensors"]) == b"weights"


def test_white_space_and_the_order_of_keys_do_not_matter(folder: Path) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(dict(reversed(manifest.items())), indent=3))
    assert repr(read_manifest(folder)["content"]) == repr(CONTENT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"a"', '"c"'),
        ("[1, null]", "[2, null]"),
        ("[1, null]", "[1.0, null]"),
        ("nan", "inf"),
        ('"bytes": 7', '"bytes": 8'),
    ],
)
def test_an_edited_value_is_found(folder: Path, old: str, new: str) -> None:
    text = (folder / "model.json").read_text()
    assert old in text
    (folder / "model.json").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"model\.json is damaged, for its content does not match its checksum"):
        read_manifest(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[1]", b"3", b'{"a": NaN}', b'{"a": 1, "a": 1}', b"[" * 10**5]
)
def test_what_is_no_json_object_is_a_value_error(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.json is damaged, for it is no JSON as scdual writes it"):
        read_manifest(folder)


def test_json_of_another_program_is_a_value_error(folder: Path) -> None:
    (folder / "model.json").write_text('{"name": "other"}')
    with pytest.raises(ValueError, match="written by another program"):
        read_manifest(folder)


def test_a_later_version_is_refused_before_its_content_is_read(folder: Path) -> None:
    rewrite(folder, version=_saved.VERSION + 1, content={"$new": 1})
    with pytest.raises(
        ValueError, match=rf"format version {_saved.VERSION + 1}, .* reads up to {_saved.VERSION}; update"
    ):
        read_manifest(folder)


def test_values_that_were_never_written_are_a_value_error(folder: Path) -> None:
    rewrite(folder, content={"$array": ["O", [1], "AAAAAAAAAAA="]})
    with pytest.raises(ValueError, match="holds values that scdual cannot have written"):
        read_manifest(folder)


@pytest.mark.parametrize("read", [read_checked, check_file])
@pytest.mark.parametrize(
    ("content", "message"), [(b"weighty", "does not match its checksum"), (b"weight", "has 6 bytes and 7 were written")]
)
def test_a_changed_file_is_found(folder: Path, read: Any, content: bytes, message: str) -> None:
    described = read_manifest(folder)["files"]["model.safetensors"]
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(folder / "model.safetensors", described)


def test_a_lost_file_is_found(folder: Path) -> None:
    described = read_manifest(folder)["files"]["model.safetensors"]
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors is missing"):
        check_file(folder / "model.safetensors", described)
    with pytest.raises(ValueError, match=r"adata\.h5ad was not saved with the model"):
        check_file(folder / "adata.h5ad", None)


def test_without_a_model_the_message_says_what_is_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist, expected the folder of a saved model"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"model\.json is a file, expected the folder"):
        read_manifest(folder / "model.json")
    with pytest.raises(ValueError, match=r"holds no model\.json, expected .*; check the path"):
        read_manifest(tmp_path)
    with pytest.raises(ValueError, match=r"holds no x_model\.json, .* pass `prefix=`, one of \[''\]"):
        read_manifest(folder, prefix="x_")


def test_a_pickle_is_named_but_not_opened(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    with pytest.raises(ValueError, match=r"a pickle, which can run any code .* so was not opened; .* trust=True"):
        read_manifest(tmp_path)


def test_files_of_others_are_not_written_over(folder: Path) -> None:
    check_overwritten(folder, ["model.json", "model.safetensors"])
    (folder / "adata.h5ad").write_text("mine")
    check_overwritten(folder, ["model.json", "model.safetensors"])
    with pytest.raises(
        ValueError, match=r"holds \['adata\.h5ad'\], which was not saved with a model and would be lost"
    ):
        check_overwritten(folder, ["model.json", "model.safetensors", "adata.h5ad"])


def test_a_folder_without_a_model_is_not_written_over(tmp_path: Path) -> None:
    check_overwritten(tmp_path, ["model.json"])
    (tmp_path / "model.json").write_text('{"name": "other"}')
    (tmp_path / "x_adata.h5ad").write_text("mine")
    with pytest.raises(ValueError, match=r"holds \['model\.json'\]"):
        check_overwritten(tmp_path, ["model.json"])
    with pytest.raises(ValueError, match=r"holds \['x_adata\.h5ad'\]"):
        check_overwritten(tmp_path, ["adata.h5ad"], prefix="x_")


def test_a_damaged_model_can_be_written_over(folder: Path) -> None:
    path = folder / "model.json"
    path.write_bytes(path.read_bytes()[:-20])
    check_overwritten(folder, ["model.json", "model.safetensors"])


def test_a_model_of_scvi_tools_is_told_from_other_files(tmp_path: Path) -> None:
    torch.save({"model_state_dict": {}, "var_names": [], "attr_dict": {}}, tmp_path / "model.pt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("attr_dict")
    assert is_scvi_pickle(tmp_path / "model.pt")
    assert not any(is_scvi_pickle(tmp_path / name) for name in ("other.pt", "text.pt", "none.pt"))
