"""Let data and models go when nobody uses them any more.

scvi-tools keeps the manager of all data that were ever registered, and with it the data, at the class. Here the class
only looks the managers up. The data hold their managers, one for each class and model that knows them, and a model
holds that of its own data.
"""

from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager

from scdual.model._scvi import BaseModelMetaClass

_ATTRIBUTE = "_scdual_managers"


class WeakStores(BaseModelMetaClass):
    """Class of models whose stores of managers keep nothing alive."""

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> None:
        super().__init__(name, bases, namespace)
        cls._setup_adata_manager_store: WeakValueDictionary[str, AnnDataManager] = WeakValueDictionary()
        cls._per_instance_manager_store: WeakValueDictionary[str, Any] = WeakValueDictionary()


class _Managers:
    """The managers of one data object by the class or model that they serve; not part of a copy or a pickle of it."""

    def __init__(self) -> None:
        self.by_owner: WeakKeyDictionary[Any, AnnDataManager] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return dict, ()


def keep_with_data(manager: AnnDataManager, owner: Any) -> None:
    """Keep a manager as long as its data and its owner live.

    Parameters
    ----------
    manager
        Manager of registered data.
    owner
        Class or model that registered them.
    """
    data: AnnData | MuData = manager.adata
    managers = vars(data).get(_ATTRIBUTE)
    if not isinstance(managers, _Managers):  # there are none yet, or the data are a copy
        managers = _Managers()
        setattr(data, _ATTRIBUTE, managers)
    managers.by_owner[owner] = manager
