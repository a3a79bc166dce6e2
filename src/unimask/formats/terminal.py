"""Terminal output in which names from files are printed literally and never interpreted."""

from typing import Any

from rich.console import Console
from rich.text import Text

from unimask.errors import printable


class Terminal(Console):
    """A console that prints strings literally, in lines and in table cells.

    Markup such as `[red]` or `:dog:` stays unchanged, and unprintable characters (control
    characters, direction marks, unpaired surrogates) are escaped. Use `rich.text.Text` for styles.

    Args:
        options: Arguments of `rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a string with control characters escaped; line breaks are kept."""
        lines = "\n".join(map(printable, text.split("\n")))
        return super().render_str(lines, **options)
