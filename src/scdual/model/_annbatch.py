"""Check files before an annbatch collection is made of them, and name its genes; scvi-tools does neither."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import anndata
import h5py
import pandas as pd
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass

from scdual._checks import listed
from scdual._installed import check_installed
from scdual.data._categories import CategoryField, JointCategoryField
from scdual.data._counts import check_counts
from scdual.data._fields import ScaledJointObsField, check_unique

_TOO_NEW = (0, 3)  # from this version on, annbatch does not take an argument that scvi-tools up to 1.5.1 passes
_LAYOUTS = ("csr_matrix", "array")  # what annbatch reads


def check_annbatch() -> None:
    """Raise an error unless scvi-tools and annbatch are there, in versions that go together."""
    if not hasattr(BaseModelClass, "setup_annbatch"):
        msg = (
            f"scvi-tools {version('scvi-tools')} cannot read annbatch collections, which needs scvi-tools 1.5 on Python 3.12; until "
            "then join the files with `anndata.experimental.concat_on_disk` and open the result with `backed='r'`."
        )
        raise NotImplementedError(msg)
    check_installed("annbatch", "zarr", "zarrs", extra="annbatch")
    if _number(version("annbatch")) >= _TOO_NEW and _number(version("scvi-tools")) <= (1, 5, 1):
        msg = (
            f"annbatch {version('annbatch')} does not go with scvi-tools {version('scvi-tools')}; "
            "install the one before: pip install 'annbatch[zarrs]<0.3'."
        )
        raise ImportError(msg)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Drop the warnings that scvi-tools, anndata, zarr and annbatch give each other, on which no user can act."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_place(collection_path: str | PathLike[str]) -> None:
    """Raise a ``FileExistsError`` if something that is no collection would be written over.

    Parameters
    ----------
    collection_path
        Folder of the collection.
    """
    place = Path(collection_path)
    if place.exists() and not (place / "zarr.json").exists() and not (place.is_dir() and not any(place.iterdir())):
        msg = (
            f"{place} exists and is no annbatch collection, so it is not written over; pass another `collection_path`."
        )
        raise FileExistsError(msg)


def check_files(
    paths: Sequence[str | PathLike[str]],
    setup: Mapping[str, Any],
    var_subset: Sequence[str] | None,
    *,
    require_counts: bool,
) -> None:
    """Raise an error unless all files hold counts of the same genes, and all columns.

    Parameters
    ----------
    paths
        Files of AnnData.
    setup
        Layer and columns, by the names of their arguments.
    var_subset
        Genes that are taken; None takes all.
    require_counts
        Whether only integers will do.

    Raises
    ------
    FileNotFoundError, KeyError, ValueError, TypeError
        If a file, layer or column is missing, the files differ in their genes or in their layout, or hold no counts. Files
        without cells do not matter.
    """
    if not len(paths):
        msg = "`paths` is empty; name at least one h5ad file."
        raise ValueError(msg)
    genes: dict[str, list[str]] = {}
    layouts: dict[str, str] = {}
    n_cells = 0
    for path in [fspath(path) for path in paths]:
        with _opened(path) as file, _naming(path):
            counts, genes[path] = _counts(file, setup["layer"])
            layouts[path] = str(counts.attrs.get("encoding-type"))
            obs = anndata.io.read_elem(file["obs"])
            check_unique(pd.Index(genes[path]))
            n_cells += len(obs)
            if not len(obs):
                continue
            check_columns(obs, setup)
            matrix = anndata.io.sparse_dataset(counts) if isinstance(counts, h5py.Group) else counts
            layers = list(file["layers"]) if "layers" in file else []
            check_counts(matrix, counts.name, layers=layers, require_counts=require_counts)
    if not n_cells:
        msg = f"The files hold no cells; check how {paths[0]} was written."
        raise ValueError(msg)
    _check_layouts(layouts)
    first = fspath(paths[0])
    for path, names in genes.items():
        check_genes(genes[first] if var_subset is None else list(var_subset), names, path, exactly=var_subset is None)


def check_genes(expected: Sequence[str], found: Sequence[str], where: str, *, exactly: bool) -> None:
    """Raise a ValueError if genes are missing, or if others are not allowed and there are some.

    Parameters
    ----------
    expected, found
        Names of genes.
    where
        Where they were found, for the message.
    exactly
        Whether there may be no others.
    """
    missing = pd.Index(expected).difference(pd.Index(found), sort=False)
    extra = pd.Index(found).difference(pd.Index(expected), sort=False)
    if len(missing) or (exactly and len(extra)):
        which = missing if len(missing) else extra
        verb = "lacks" if len(missing) else "has"
        rest = (
            "that are in the others"
            if exactly and len(missing)
            else "of `var_subset`"
            if len(missing)
            else "that the first lacks"
        )
        msg = (
            f"{where} {verb} {len(which)} genes {rest}, e.g. {listed(which, most=3)}, which would count as not expressed "
            "where they are missing; pass the genes that all files have as `var_subset`."
        )
        raise ValueError(msg)


def check_adatas(adatas: Sequence[AnnData]) -> None:
    """Raise a ValueError unless all data have the same genes in the same order."""
    for i, adata in enumerate(adatas):
        if not adata.var_names.equals(adatas[0].var_names):
            msg = f"`adatas[{i}]` has other genes than `adatas[0]`, or another order; use `adata[:, adatas[0].var_names].copy()`."
            raise ValueError(msg)


def check_columns(obs: pd.DataFrame, setup: Mapping[str, Any]) -> None:
    """Raise an error unless a table of cells has the columns, with a valid value for every cell.

    Parameters
    ----------
    obs
        Table of the cells.
    setup
        Columns by the names of their arguments.
    """
    cells = AnnData(obs=obs)
    for name in ("batch_key", "labels_key", "sample_key"):
        CategoryField(REGISTRY_KEYS.BATCH_KEY, setup.get(name)).validate_field(cells)
    JointCategoryField(REGISTRY_KEYS.CAT_COVS_KEY, setup.get("categorical_covariate_keys")).validate_field(cells)
    ScaledJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, setup.get("continuous_covariate_keys")).validate_field(cells)


def collection_obs(collection_path: str | PathLike[str]) -> pd.DataFrame:
    """Return the table of the cells of a collection."""
    from annbatch import DatasetCollection

    return DatasetCollection(_collection(collection_path)).obs()


def collection_genes(collection_path: str | PathLike[str]) -> list[str]:
    """Return the names of the genes of a collection, in its order, which need not be that of the files."""
    group = _collection(collection_path)
    names = [list(anndata.io.read_elem(group[key]["var"]).index) for key in group if "var" in group[key]]
    if not names or any(other != names[0] for other in names):
        msg = f"{collection_path} does not hold the same genes throughout; build it again with `rebuild=True`."
        raise ValueError(msg)
    return [str(name) for name in names[0]]


def _collection(collection_path: str | PathLike[str]) -> Any:
    import zarr

    if not Path(collection_path, "zarr.json").exists():
        msg = f"{collection_path} holds no annbatch collection; pass the `paths` of the files to make one of."
        raise FileNotFoundError(msg)
    return zarr.open_group(fspath(collection_path), mode="r")


def _counts(file: h5py.File, layer: str | None) -> tuple[h5py.Group | h5py.Dataset, list[str]]:
    """Return the counts that scvi-tools takes, those of `raw` before those of `X`, and the names of their genes."""
    place = f"layers/{layer}" if layer is not None else "raw/X" if "raw" in file and "X" in file["raw"] else "X"
    if place not in file:
        layers = list(file["layers"]) if "layers" in file else []
        msg = f"there is no {place!r}; name one of the layers {layers} with `layer=`, or None for X"
        raise KeyError(msg)
    var = file["raw/var"] if place == "raw/X" else file["var"]
    return file[place], [str(name) for name in anndata.io.read_elem(var).index]


def _check_layouts(layouts: Mapping[str, str]) -> None:
    for path, layout in layouts.items():
        others = next((other for other in layouts.values() if other != layout), layout)
        if layout not in _LAYOUTS or others != layout:
            msg = (
                f"{path} holds the counts as {layout}, and annbatch reads files that all hold them as csr_matrix; write it anew after "
                "`adata.X = scipy.sparse.csr_matrix(adata.X)`."
            )
            raise ValueError(msg)


@contextmanager
def _opened(path: str) -> Iterator[h5py.File]:
    if not Path(path).is_file():
        msg = f"There is no file {path}; pass the paths of h5ad files."
        raise FileNotFoundError(msg)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        msg = f"{path} is no h5ad file ({' '.join(str(error).split())}); pass files that `adata.write_h5ad` wrote."
        raise ValueError(msg) from error
    with file:
        yield file


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Begin the message of an error with the file in which it was found."""
    try:
        yield
    except (KeyError, ValueError, TypeError) as error:
        said = error.args[0] if error.args else error
        msg = f"{path}: {said}"
        raise type(error)(msg) from error


def _number(of_version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in of_version.split(".")[:3] if part.isdigit())
