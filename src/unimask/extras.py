"""Import of the packages of extras where they are used."""

from importlib import import_module
from typing import Any

from unimask.errors import MissingExtraError


def import_extra(name: str, extra: str) -> Any:
    """Import a module of an optional package.

    Args:
        name: Name of the module, such as "rasterio.features".
        extra: Extra of unimask that installs the package.

    Raises:
        MissingExtraError: The package is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise MissingExtraError(name.partition(".")[0], extra) from None
