"""Which modules compute in int8: a mark on the module, which copies and pickles of it keep."""

from torch import nn

MARK = "computes_in_int8"


def set_int8(module: nn.Module) -> None:
    """Mark a module: its own matrix products, not those of its submodules, compute in int8."""
    setattr(module, MARK, True)


def computes_in_int8(module: object) -> bool:
    """Return whether a module's own matrix products compute in int8."""
    return bool(getattr(module, MARK, False))
