"""The exceptions that unimask raises on purpose.

    UnimaskError            every error below; the command line prints it as one line, exit code 2
    ├── ImageError          a picture that cannot be read, or that is refused
    ├── DataError           a dataset, its masks or its annotations
    ├── CheckpointError     weights or their configuration
    ├── TaskError           a task that these weights or these labels cannot do
    ├── OutputError         a result that cannot be written
    │   └── StorageError    nothing more can be written there: the disk is full, or read-only
    ├── SettingsError       an option, or a combination of options
    ├── MissingExtraError   an optional dependency that is not installed
    └── TrainingError       a run that cannot go on

Each message names the file or the value and says how to mend it, on one line.
"""


def printable(text: str) -> str:
    """Return text with escapes in place of control, direction and other invisible characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class UnimaskError(Exception):
    """Any failure that unimask foresees; its message is one line for a person.

    Args:
        message: What happened and how to mend it. Names in it may come out of files, and so may
            hold anything: line ends and other characters that do not print are written as escapes,
            so that no file can fill a terminal or change its colours.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UnimaskWarning(UserWarning):
    """Anything that unimask warns of; its message is safe to print, as that of an error is."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ImageError(UnimaskError):
    """A picture is missing, corrupt, of an unknown kind, or absurdly large."""


class DataError(UnimaskError):
    """A dataset is incomplete or contradicts itself."""


class CheckpointError(UnimaskError):
    """Weights or their configuration are missing, unknown, or do not fit."""


class TaskError(UnimaskError):
    """The task is unknown, or these weights were not trained for it."""


class OutputError(UnimaskError):
    """A result cannot be written where it was asked for."""


class StorageError(OutputError):
    """The disk is full, a quota is used up, or it is read-only: the next file fails as well."""


class SettingsError(UnimaskError):
    """An option has a value that cannot be used, alone or with another."""


class MissingExtraError(UnimaskError):
    """An optional dependency is not installed.

    Args:
        package: The name that failed to import.
        extra: The extra of unimask that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}: pip install 'unimask[{extra}]'")


class TrainingError(UnimaskError):
    """Training cannot go on: the message says after which step and why."""
