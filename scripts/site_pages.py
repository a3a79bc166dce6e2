"""Pages of the documentation site that are generated at each build: the API and the commands.

python scripts/site_pages.py FOLDER     # writes them without building the site
"""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import get_args

import typer

from unimask.cli.app import app
from unimask.cli.main import COMMANDS, register_commands
from unimask.formats.atomic import atomic_path

MODULES = (
    "unimask",
    "unimask.checkpoints",
    "unimask.config",
    "unimask.datasets",
    "unimask.datasets.rendered_nuclei",
    "unimask.datasets.rendered_town",
    "unimask.errors",
    "unimask.evaluation",
    "unimask.export",
    "unimask.label_sets",
    "unimask.labels",
    "unimask.losses",
    "unimask.metrics",
    "unimask.outputs",
    "unimask.tracking",
    "unimask.volumes",
)
"""Modules whose public names are documented, in the order of the page."""

SECTION_LINK = re.compile(
    r"^## (?P<caption>.+)$|^\| \[[^\]]*\]\((?P<target>[^)#\s]+)\.(?:md|ipynb)\)", re.M
)


def write_reference(folder: Path) -> None:
    """Write all generated pages into a folder; pages that are up to date keep their times."""
    pages = {f"{module}.rst": api_page(module) for module in MODULES}
    pages["api.md"] = overview(
        "Python API", "Every public name, by module.", [f"{module}.rst" for module in MODULES]
    )
    register_commands()
    group = typer.main.get_command(app)
    commands = getattr(group, "commands")  # noqa: B009 (click's group, whose type varies)
    for name in COMMANDS:
        pages[f"unimask_{name}.md"] = command_page(name, commands[name])
    pages["commands.md"] = overview(
        "Commands",
        "Every command with all its options; `unimask COMMAND --help` prints the same texts.",
        [f"unimask_{name}.md" for name in COMMANDS],
    )
    folder.mkdir(exist_ok=True)
    for suffix in ("md", "rst"):
        for path in folder.glob(f"[a-z]*.{suffix}"):
            if path.name not in pages:
                path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")


def index_toctrees(index: str) -> str:
    """Return hidden toctrees: one for each section of the index, with its links as entries."""
    sections: dict[str, list[str]] = {}
    for match in SECTION_LINK.finditer(index):
        if match["caption"]:
            sections[match["caption"]] = []
        else:
            list(sections.values())[-1].append(match["target"])
    sections["Reference"][:0] = ["reference/api", "reference/commands"]
    trees = [toctree(entries, caption) for caption, entries in sections.items()]
    links = "\n\n[Python API](reference/api.md) · [Commands](reference/commands.md)\n"
    return links + "".join(trees)


def toctree(entries: list[str], caption: str) -> str:
    """Return a hidden toctree in MyST Markdown."""
    lines = ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", ""]
    return "\n".join(lines)


def overview(title: str, text: str, pages: list[str]) -> str:
    """Return a page with a list of further pages."""
    entries = [page.rpartition(".")[0] for page in pages]
    return "\n".join([f"# {title}", "", text, "", "```{toctree}", *entries, "```", ""])


def public_names(module: str) -> list[str]:
    """Return the public names of a module: its `__all__`, or what is defined in it."""
    loaded = import_module(module)
    if hasattr(loaded, "__all__"):
        return sorted(loaded.__all__, key=lambda name: (name.startswith("_"), name.lower()))
    return [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]


def api_page(module: str) -> str:
    """Return the reST page of a module: one autodoc directive for each public name."""
    summary = (import_module(module).__doc__ or "").partition("\n")[0]
    lines = [module, "=" * len(module), "", summary, ""]
    for name in public_names(module):
        lines += [*directive(module, name), ""]
    return "\n".join(lines)


def directive(module: str, name: str) -> list[str]:
    """Return the autodoc directive of a public name, with the options of its kind."""
    value = getattr(import_module(module), name)
    if not inspect.isclass(value):
        kind = "autofunction" if inspect.isroutine(value) else "autodata"
        return [f".. {kind}:: {module}.{name}"] + (
            ["   :no-value:"] if kind == "autodata" and not isinstance(value, str) else []
        )
    own = [base for base in value.__mro__[:-1] if base.__module__.startswith("unimask")]
    lines = [f".. autoclass:: {module}.{name}", "   :members:"]
    if len(own) == len(value.__mro__) - 1 and len(own) > 1:
        lines.append("   :inherited-members:")
    return lines


def command_page(name: str, command: typer.core.TyperCommand) -> str:
    """Return the Markdown page of a command: usage, description, arguments and options."""
    params = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [param for param in params if param.param_type_name == "argument"]
    options = [param for param in params if param.param_type_name == "option"]
    words = " ".join(argument_word(param) for param in arguments)
    description = inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    lines = [f"# unimask {name}", "", description, "", "```sh"]
    lines += [f"unimask {name} {words} [OPTIONS]".replace("  ", " "), "```", ""]
    if arguments:
        lines += ["## Arguments", "", "| argument | meaning |", "|---|---|"]
        lines += [f"| `{argument_word(p)}` | {cell(p.help or '')} |" for p in arguments]
    lines += ["", "## Options", "", "| option | default | effect |", "|---|---|---|"]
    for param in options:
        lines.append(f"| {option_words(param)} | {default(param)} | {cell(param.help or '')} |")
    return "\n".join([*lines, ""])


def argument_word(param: typer.core.TyperArgument) -> str:
    """Return the placeholder of an argument in the usage line."""
    return str(param.metavar or param.name.upper())


def option_words(param: typer.core.TyperOption) -> str:
    """Return an option's spellings, with the type and the range of its value."""
    words = ", ".join(f"`{word}`" for word in [*param.opts, *param.secondary_opts])
    if param.is_flag:
        return words
    limits = ""
    if param.min is not None or param.max is not None:
        limits = f" ({limit(param.min)}..{limit(param.max)})"
    return f"{words} {value_kind(param)}{limits}"


def value_kind(param: typer.core.TyperOption) -> str:
    """Return the placeholder of an option's value, such as PATH."""
    if param.metavar:
        return cell(str(param.metavar))
    annotation = param.type_descriptor.annotation
    element = next(iter(get_args(annotation)), annotation)
    return {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}[element]


def limit(value: float | None) -> str:
    """Return a limit of a range; an empty text if there is none."""
    return "" if value is None else f"{value:,}"


def default(param: typer.core.TyperOption) -> str:
    """Return the default of an option as shown to users; empty if there is none."""
    if param.required:
        return "required"
    if isinstance(param.show_default, str):
        return cell(param.show_default)
    value = param.default
    if param.is_flag:
        return "on" if value else "off"
    if value is None or callable(value) or value in ((), []):
        return ""
    return f"`{cell(str(value))}`"


def cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")


if __name__ == "__main__":
    write_reference(Path(sys.argv[1]))
