"""Save models as numbers and text, and load them without running code."""

from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from typing import Any, Self

import torch
from anndata import AnnData
from anndata.io import write_elem, write_h5ad
from lightning import LightningDataModule
from mudata import MuData, write_h5mu
from safetensors.torch import save as tensor_bytes
from scvi.data import AnnDataManager
from torch import distributed

from scdual._checks import argument_names, check_flag, check_names, check_type, did_you_mean
from scdual._saved import CONTENT, DATA, PICKLE, WEIGHTS, check_overwritten, is_scvi_pickle, write_content
from scdual._warning import warn
from scdual._writing import lock, write_folder, write_hdf5
from scdual.data._rollback import unchanged_on_error
from scdual.model._datamodule import check_datamodule, own_registry
from scdual.model._devices import place_of
from scdual.model._inherited import InheritedMixin
from scdual.model._record import Record, describe, record_now
from scdual.model._registered_data import check_data_kind
from scdual.model._saved_model import SavedModel, State, checked_folder, checked_prefix, data_name, read_saved
from scdual.model._scvi import SETUP_ARGS_KEY, SETUP_METHOD_KEY

_SETUP_METHODS = ("setup_anndata", "setup_mudata")


class SavingMixin(InheritedMixin):
    """Methods of SCDual that save and load."""

    ensemble_: list[State]
    null_: State
    record_: Record | None

    def save(
        self,
        dir_path: str | PathLike[str],
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        save_kwargs: dict[str, Any] | None = None,
        legacy_mudata_format: bool = False,
        datamodule: LightningDataModule | None = None,
        **anndata_write_kwargs: Any,
    ) -> None:
        """Save the model to a folder, whole or not at all.

        ``model.safetensors`` holds the weights and ``model.json`` everything else, with checksums of all files. No code
        is in them. Other files in the folder stay.

        Parameters
        ----------
        dir_path
            Folder to write.
        prefix
            Put before the names of the files, so that a folder can hold several models.
        overwrite
            Whether the folder may exist; a model in it is replaced.
        save_anndata
            Whether the data are saved as well, as ``adata.h5ad`` or ``mdata.h5mu``.
        save_kwargs, legacy_mudata_format
            Accepted so that calls written for scVI run; only their defaults are possible.
        datamodule
            Not needed: the registry is saved.
        **anndata_write_kwargs
            Arguments of the method that writes the data, such as ``compression="gzip"``.

        Raises
        ------
        ValueError
            If the folder exists, holds a file of that name that is not of a model or a model of another class, or there
            are no data to save, or they have changed since they were set up.
        TypeError
            If an argument is not known.
        BlockingIOError
            If another process writes the folder.
        """
        folder, start = checked_folder(dir_path), checked_prefix(prefix)
        for name, value in {"overwrite": overwrite, "save_anndata": save_anndata}.items():
            check_flag(name, value)
        check_type("datamodule", datamodule, LightningDataModule, optional=True)
        _check_save_arguments(save_kwargs, legacy_mudata_format, save_anndata, anndata_write_kwargs)
        if save_anndata:
            self._validate_anndata()  # else the data would be saved under another registry
        if _is_follower():
            return
        if isinstance(self.adata, MuData):
            self.registry_[SETUP_METHOD_KEY] = "setup_mudata"  # lost when `model.adata` was set
        content, weights = self._content(), tensor_bytes(self._tensors())
        names = [CONTENT, WEIGHTS, *([data_name(self.registry_)] if save_anndata else [])]
        with lock(folder):
            check_overwritten(folder, names, prefix=start)
            with write_folder(folder, overwrite=overwrite) as part:
                if save_anndata:
                    _write_data(self.adata, part / f"{start}{names[-1]}", anndata_write_kwargs)
                (part / f"{start}{WEIGHTS}").write_bytes(weights)
                write_content(part, content, prefix=start)
            if is_scvi_pickle(folder / f"{start}{PICKLE}"):  # the older model that was written over
                (folder / f"{start}{PICKLE}").unlink()

    @classmethod
    def load(
        cls,
        dir_path: str | PathLike[str],
        adata: AnnData | MuData | bool | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        backup_url: str | None = None,
        datamodule: LightningDataModule | None = None,
        allowed_classes_names_list: list[str] | None = None,
        *,
        trust: bool = False,
    ) -> Self:
        """Return a saved model.

        Parameters
        ----------
        dir_path
            Folder of the model.
        adata
            Data with the genes of the model. None reads those that were saved with it, False loads it without.
        accelerator, device
            Hardware, as in Lightning.
        prefix
            What stands before the names of the files.
        backup_url
            Address of a ``model.pt``, only with ``trust``.
        datamodule
            Source of minibatches in place of ``adata``, which must have the genes, batches and labels of the model. The
            model does not keep it: pass it to :meth:`train`, and its minibatches to methods that read cells.
        allowed_classes_names_list
            Names of other classes whose models may be loaded.
        trust
            Whether to open a ``model.pt``, the format of scvi-tools and of early copies of scdual. It is a pickle, which can run any
            code: say yes only if you know where it comes from.

        Raises
        ------
        ValueError
            If this machine lacks the accelerator, or there is no model, it is damaged, of another class or of a later version, or the data do not fit.
        """
        check_type("datamodule", datamodule, LightningDataModule, optional=True)
        if datamodule is not None and isinstance(adata, AnnData | MuData):
            msg = "Only one of `adata` or `datamodule` can be given, as a model has one source of cells; leave out one."
            raise ValueError(msg)
        check_flag("trust", trust)
        others = [] if allowed_classes_names_list is None else allowed_classes_names_list
        if others != []:
            others = check_names("allowed_classes_names_list", others)
        folder = checked_folder(dir_path)
        if not (adata is None or adata is False or isinstance(adata, AnnData | MuData)):
            msg = f"`adata` is of type {type(adata).__name__}, expected AnnData or MuData, None for the saved data, or False for none."
            raise TypeError(msg)
        place = place_of(accelerator, device)
        saved = read_saved(folder, prefix=prefix, trust=trust, backup_url=backup_url)
        _check_class(saved, [cls.__name__, *others])
        if datamodule is not None:
            check_datamodule(datamodule, saved.registry, has_data=False)
            adata = False
        data = saved.read_data() if adata is None else adata
        if data is None:
            _warn_no_data(saved)
        data = None if data is False else data
        if data is not None:
            check_data_kind(data, saved.registry)
        with nullcontext() if data is None else unchanged_on_error(data):
            model = cls._build(saved, data)
            model.to_device(place)
            model.module.eval()
            if data is not None:
                model._validate_anndata(data)
        return model

    @classmethod
    def _build(cls, saved: SavedModel, data: AnnData | MuData | None) -> Self:
        """Return the model of a folder with its weights."""
        registry, attributes = saved.registry, dict(saved.attributes)
        if registry.get(SETUP_METHOD_KEY) == "setup_datamodule":  # as early copies of scdual left it
            registry = own_registry(registry, model_name=cls.__name__)
        method = registry.get(SETUP_METHOD_KEY, "setup_anndata")
        if method not in _SETUP_METHODS:
            msg = f"{saved.folder} names {method!r} as the method of set-up, expected one of {list(_SETUP_METHODS)}; take another copy."
            raise ValueError(msg)
        if data is not None:
            getattr(cls, method)(data, source_registry=registry, **registry[SETUP_ARGS_KEY])
        del attributes["registry_"], attributes["init_params_"]  # which the model makes itself
        model = cls(data, registry=registry, **saved.arguments)
        attributes.setdefault("record_", None)
        for name, value in attributes.items():
            if name.endswith("_") and not name.startswith("_"):  # what `save` writes
                setattr(model, name, value)
        _put_weights(model.module, saved)
        return model

    @staticmethod
    def load_registry(
        dir_path: str | PathLike[str], prefix: str | None = None, *, trust: bool = False
    ) -> dict[str, Any]:
        """Return how the data of a saved model were registered.

        Parameters
        ----------
        dir_path
            Folder of the model.
        prefix
            What stands before the names of the files.
        trust
            Whether to open a pickle; see :meth:`load`.
        """
        return read_saved(dir_path, prefix=prefix, trust=trust, with_weights=False).registry

    @staticmethod
    def view_setup_args(dir_path: str | PathLike[str], prefix: str | None = None, *, trust: bool = False) -> None:
        """Print the arguments by which the data of a saved model were registered.

        Parameters
        ----------
        dir_path
            Folder of the model.
        prefix
            What stands before the names of the files.
        trust
            Whether to open a pickle; see :meth:`load`.
        """
        AnnDataManager.view_setup_method_args(SavingMixin.load_registry(dir_path, prefix, trust=trust))

    @classmethod
    def convert_legacy_save(cls, *_args: Any, **_kwargs: Any) -> None:
        """Raise an error: SCDual is younger than the format that this method of scvi-tools converts."""
        msg = "SCDual is younger than the format that `convert_legacy_save` reads; load the model with `SCDual.load`."
        raise NotImplementedError(msg)

    def _content(self) -> dict[str, Any]:
        """Return all but numbers of the module: attributes whose names end with an underscore, as in scvi-tools."""
        left_out, record = {"ensemble_", "null_", "record_"}, record_now(self)
        attributes = {name: value for name, value in vars(self).items() if name.endswith("_") and name not in left_out}
        return {
            "attributes": attributes,
            "description": describe(self),
            "record": None if record is None else record.to_plain(),
        }

    def _tensors(self) -> State:
        """Return weights and buffers of the module and the maps of the ensemble, by name, on the CPU."""
        states = {"module": self.module.state_dict(), "null": self.null_}
        states |= {f"ensemble.{k}": state for k, state in enumerate(self.ensemble_)}
        return {
            f"{part}.{name}": values.detach().cpu().clone(memory_format=torch.contiguous_format)
            for part, state in states.items()
            for name, values in state.items()
        }


def _write_data(data: AnnData | MuData, path: Path, options: dict[str, Any]) -> None:
    """Write data; unlike their methods, these functions do not move data on disk to the new file."""
    if isinstance(data, MuData):
        write_h5mu(path, data, **options)
    elif options or data.isbacked:
        write_h5ad(path, data, **options)
    else:  # survives a full disk
        with write_hdf5(path) as file:
            write_elem(file, "/", data)


def _put_weights(module: torch.nn.Module, saved: SavedModel) -> None:
    """Load the weights, all of them and of the right shape and type."""
    expected = module.state_dict()
    wrong = sorted(set(expected) ^ set(saved.state))
    wrong += [
        name
        for name in expected.keys() & saved.state.keys()
        if (expected[name].shape, expected[name].dtype) != (saved.state[name].shape, saved.state[name].dtype)
    ]
    if wrong:
        msg = (
            f"{len(wrong)} weights in {saved.folder} do not fit the model that it describes, e.g. {wrong[:3]}; "
            "load it with the version of scdual that saved it."
        )
        raise ValueError(msg)
    module.load_state_dict(saved.state)


def _check_save_arguments(
    save_kwargs: dict[str, Any] | None, legacy_mudata_format: bool, save_anndata: bool, write_kwargs: dict[str, Any]
) -> None:
    check_flag("legacy_mudata_format", legacy_mudata_format)
    check_type("save_kwargs", save_kwargs, dict, optional=True)
    if save_kwargs:
        msg = f"`save_kwargs={save_kwargs}` are arguments of `torch.save`, which is not used here; leave them out."
        raise ValueError(msg)
    if legacy_mudata_format:
        msg = "`legacy_mudata_format` names a format of scvi-tools, which is not written here; leave it out."
        raise ValueError(msg)
    nearest = next(filter(None, (did_you_mean(name, argument_names(SavingMixin.save)) for name in write_kwargs)), "")
    if nearest or (write_kwargs and not save_anndata):
        advice = nearest or "Arguments that write data need `save_anndata=True`."
        msg = f"`save` knows no {sorted(write_kwargs)}. {advice}"
        raise TypeError(msg)


def _check_class(saved: SavedModel, allowed: list[str]) -> None:
    name = saved.registry.get("model_name")
    if name not in allowed:
        msg = (
            f"It appears you are loading a model from a different class: {saved.folder} holds {name!r}, expected "
            f"{' or '.join(allowed)}; load it with its own class."
        )
        raise ValueError(msg)


def _warn_no_data(saved: SavedModel) -> None:
    beside = [name for name in DATA if (saved.folder / f"{saved.prefix}{name}").exists()]
    found = f"; {beside[0]} beside it belongs to another save" if beside else ""
    warn(
        f"Model will be loaded without anndata: none were saved with it{found}. Pass them as `adata`, or `adata=False` "
        "to load without."
    )


def _is_follower() -> bool:
    """Return whether another process of the same training writes the files."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0
