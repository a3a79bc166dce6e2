"""Values of options that the shell completes."""

from collections.abc import Callable

from unimask.bundled import bundled_names
from unimask.labels import TASKS


def complete(*values: str) -> Callable[[str], list[str]]:
    """Return the completion of an option that takes one of several values."""

    def matching(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return matching


def complete_models(incomplete: str) -> list[str]:
    """Return the bundled models whose names begin so; the shell itself completes paths."""
    return [name for name in bundled_names() if name.startswith(incomplete)]


complete_tasks = complete(*TASKS)
complete_devices = complete("auto", "cpu", "cuda", "mps")
complete_dtypes = complete("float32", "bfloat16", "float16", "int8", "auto")
