"""Text on a terminal: names out of files are shown as they are, and never as commands to it."""

from typing import Any

from rich.console import Console
from rich.text import Text

from unimask.errors import printable


class Terminal(Console):
    """A console that prints strings literally, in lines and in cells of tables.

    Markup such as `[red]` or `:dog:` stays what it is, and characters that do not print (control
    characters, direction marks, halves of surrogate pairs) are shown as escapes. A style is given
    by a `rich.text.Text`.

    Args:
        options: As `rich.console.Console` takes them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a string without its control characters; line ends are kept."""
        lines = "\n".join(map(printable, text.split("\n")))
        return super().render_str(lines, **options)
