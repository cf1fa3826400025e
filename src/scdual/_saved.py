"""The files of a saved model: which there are, and that they are as they were written.

A folder holds ``model.safetensors``, the numbers, and ``model.json``, everything else, with the size and the checksum of
each file, and with a checksum of itself. No code is in them, and none is run to read them. A prefix may stand before the
names. The data may lie beside as ``adata.h5ad`` or ``mdata.h5mu``.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scdual._plain import decode, encode, parse
from scdual._writing import finish_folder

FORMAT = "scdual model"
VERSION = 2  # `model/_saved_model.py` says what weights were called in each version

CONTENT, WEIGHTS, PICKLE = "model.json", "model.safetensors", "model.pt"
DATA = ("adata.h5ad", "mdata.h5mu")

_REPAIR = "take another copy of the folder, or save the model again"


def write_content(folder: Path, content: Mapping[str, Any], *, prefix: str = "") -> None:
    """Write ``model.json`` about the other files of the folder.

    Parameters
    ----------
    folder
        Folder with the other files, which are whole.
    content
        Plain values.
    prefix
        What stands before the names of the files.
    """
    files = {
        name: _describe(folder / f"{prefix}{name}")
        for name in (WEIGHTS, *DATA)
        if (folder / f"{prefix}{name}").exists()
    }
    manifest = {"format": FORMAT, "version": VERSION, "files": files, "content": encode(content, "model")}
    manifest["sha256"] = _checksum(manifest)
    (folder / f"{prefix}{CONTENT}").write_text(json.dumps(manifest, allow_nan=False), encoding="utf-8")


def read_manifest(folder: Path, *, prefix: str = "") -> dict[str, Any]:
    """Return ``model.json`` with its content decoded, once its checksum is right.

    Parameters
    ----------
    folder
        Folder of a saved model.
    prefix
        What stands before the names of the files.

    Raises
    ------
    ValueError
        If there is none, it is damaged, or it is of a later version.
    """
    check_folder(folder, prefix=prefix)
    path = folder / f"{prefix}{CONTENT}"
    try:
        manifest = parse(path.read_text(encoding="utf-8"))
        is_ours = manifest.get("format") == FORMAT and type(manifest.get("version")) is int and manifest["version"] >= 0
    except (ValueError, AttributeError) as error:
        msg = f"{path} is damaged, for it is no JSON as scdual writes it ({error}); {_REPAIR}."
        raise ValueError(msg) from error
    if not is_ours:
        msg = f"{path} says nothing of a {FORMAT!r}, so it was written by another program, or is damaged; {_REPAIR}."
        raise ValueError(msg)
    if manifest["version"] > VERSION:
        msg = (
            f"{folder} holds a model of format version {manifest['version']}, but this version of scdual reads up to "
            f"{VERSION}; update scdual with `pip install --upgrade scdual`."
        )
        raise ValueError(msg)
    if manifest.pop("sha256", None) != _checksum(manifest):
        msg = f"{path} is damaged, for its content does not match its checksum; {_REPAIR}."
        raise ValueError(msg)
    try:
        return manifest | {"content": decode(manifest["content"])}
    except (TypeError, ValueError, IndexError, KeyError, OverflowError) as error:
        msg = f"{path} holds values that scdual cannot have written ({error}); {_REPAIR}."
        raise ValueError(msg) from error


def read_checked(path: Path, described: Mapping[str, Any] | None) -> bytes:
    """Return the bytes of a file if they are those that were written; see :func:`check_file`."""
    _check_presence(path, described)
    content = path.read_bytes()
    _compare(path, {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}, described)
    return content


def check_file(path: Path, described: Mapping[str, Any] | None) -> None:
    """Raise ``ValueError`` unless a file has the size and the checksum of its description in ``model.json``."""
    _check_presence(path, described)
    _compare(path, {"bytes": path.stat().st_size}, described)
    _compare(path, _describe(path), described)


def check_folder(folder: Path, *, prefix: str = "") -> None:
    """Raise ``ValueError`` unless the folder holds a model in this format."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        msg = f"{folder} {what}, expected the folder of a saved model; check the path."
        raise ValueError(msg)
    finish_folder(folder)
    if (folder / f"{prefix}{CONTENT}").is_file():
        return
    if (folder / f"{prefix}{PICKLE}").is_file():
        msg = (
            f"{folder} holds {prefix}{PICKLE}, the format of scvi-tools and of early copies of scdual, a pickle, which can run any "
            "code when it is opened and so was not opened; if you trust where it comes from, use "
            "`SCDual.load(folder, trust=True)` and save the model again."
        )
        raise ValueError(msg)
    found = sorted(path.name.removesuffix(CONTENT) for path in folder.glob(f"*{CONTENT}"))
    advice = f"pass `prefix=`, one of {found}" if found else "check the path, or save the model again"
    msg = f"{folder} holds no {prefix}{CONTENT}, expected the folder of a saved model; {advice}."
    raise ValueError(msg)


def check_overwritten(folder: Path, names: list[str], *, prefix: str = "") -> None:
    """Raise ``ValueError`` if a file of one of these names is there that was not saved with a model.

    Parameters
    ----------
    folder
        Folder that is about to be written.
    names
        Files that will be written, without the prefix.
    prefix
        What stands before the names.
    """
    try:
        owned = {CONTENT, *read_manifest(folder, prefix=prefix)["files"]}
    except ValueError:
        owned = {CONTENT, WEIGHTS} if _is_ours(folder / f"{prefix}{CONTENT}") else set()
    pickled = folder / f"{prefix}{PICKLE}"
    if is_scvi_pickle(pickled) and not is_scvi_pickle(pickled, of="SCDual"):
        msg = (
            f"{pickled} is a model of another class of scvi-tools, which would be lost; choose another folder for the "
            "model, or a `prefix=`."
        )
        raise ValueError(msg)
    if is_scvi_pickle(pickled):
        owned |= set(DATA)
    foreign = [f"{prefix}{name}" for name in names if (folder / f"{prefix}{name}").exists() and name not in owned]
    if foreign:
        msg = (
            f"{folder} holds {foreign}, which was not saved with a model and would be lost; choose another folder for "
            "the model, or a `prefix=`."
        )
        raise ValueError(msg)


def is_scvi_pickle(path: Path, *, of: str = "") -> bool:
    """Return whether a file looks like a model that scvi-tools saved, of a class if one is named; nothing in it is run."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            contents = [archive.read(name) for name in pickles]
            return any(b"attr_dict" in content and of.encode() in content for content in contents)
    except (zipfile.BadZipFile, NotImplementedError, OSError, RuntimeError):
        return False


def _is_ours(path: Path) -> bool:
    """Return whether a damaged file began its life as ``model.json``."""
    return path.is_file() and FORMAT.encode() in path.read_bytes()[:100]


def _check_presence(path: Path, described: Mapping[str, Any] | None) -> None:
    if described is None or not path.is_file():
        what = "is missing" if described is not None else "was not saved with the model"
        msg = f"{path} {what}; {_REPAIR}."
        raise ValueError(msg)


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _compare(path: Path, found: Mapping[str, Any], described: Mapping[str, Any] | None) -> None:
    expected = described or {}
    if found["bytes"] != expected.get("bytes"):
        msg = (
            f"{path} is damaged, for it has {found['bytes']} bytes and {expected.get('bytes')} were written; {_REPAIR}."
        )
        raise ValueError(msg)
    if "sha256" in found and found["sha256"] != expected.get("sha256"):
        msg = f"{path} is damaged, for its content does not match its checksum; {_REPAIR}."
        raise ValueError(msg)


def _checksum(manifest: Mapping[str, Any]) -> str:
    """Return the checksum of the values, whatever the white space and the order of keys."""
    text = json.dumps(manifest, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
