"""The exceptions that unimask raises on purpose.

    UnimaskError            every error below; the command line prints it as one line, exit code 2
    ├── ImageError          an image that cannot be read, or that is refused
    ├── DataError           an error in a dataset, its masks or its annotations
    ├── CheckpointError     an error in weights or in their configuration
    ├── TaskError           a task that the weights or the labels do not support
    ├── OutputError         a result that cannot be written
    │   └── StorageError    no more can be written: the disk is full or read-only
    ├── SettingsError       an invalid option, or an invalid combination of options
    ├── MissingExtraError   an optional dependency that is not installed
    └── TrainingError       a training run that cannot continue
Each message is one line that names the file or the value and how to fix it.
"""


def printable(text: str) -> str:
    """Return the text with control, direction and other invisible characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(error: BaseException, longest: int = 120) -> str:
    """Describe an error of Python or of another library in one line.

    The message of a `KeyError` is the missing key alone, which means nothing to a user.

    Args:
        error: Error that a damaged file caused, for example.
        longest: Maximum number of characters.
    """
    text = " ".join(str(error).split())
    if isinstance(error, KeyError) and len(error.args) == 1:
        named = isinstance(error.args[0], str)
        text = f"{text} is missing" if named else f"entry {text}, to which it refers, is missing"
    if isinstance(error, TypeError | AttributeError):
        text = f"a value has the wrong type: {text}"
    return text[:longest] or type(error).__name__


class UnimaskError(Exception):
    """Any failure that unimask foresees, with a message of one line.

    Args:
        message: What happened and how to fix it. Control and other invisible characters, which may
            come from names in files, are escaped, so that no file can fill a terminal or change its
            colours.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UnimaskWarning(UserWarning):
    """Any warning that unimask issues; its message is escaped in the same way as an error's."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ImageError(UnimaskError):
    """An image is missing, corrupt, of an unknown format, or too large."""


class DataError(UnimaskError):
    """A dataset is incomplete or contradicts itself."""


class CheckpointError(UnimaskError):
    """Weights or their configuration are missing, unknown, or do not fit."""


class TaskError(UnimaskError):
    """The task is unknown, or the weights were not trained for it."""


class OutputError(UnimaskError):
    """A result cannot be written to the requested location."""


class StorageError(OutputError):
    """The disk is full, over quota or read-only, so the next file would fail as well."""


class SettingsError(UnimaskError):
    """An option has an invalid value, alone or in combination with another."""


class MissingExtraError(UnimaskError):
    """An optional dependency is not installed.

    Args:
        package: Name of the package that failed to import.
        extra: Extra of unimask that installs it; None if the package itself is to be installed.
    """

    def __init__(self, package: str, extra: str | None = None) -> None:
        requirement = package if extra is None else f"'unimask[{extra}]'"
        super().__init__(f"this needs {package}: pip install {requirement}")


class TrainingError(UnimaskError):
    """Training cannot continue; the message names the step and the reason."""
