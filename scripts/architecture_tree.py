"""Print the layers and the tree of the package: one line per file, its docstring's first line.

    python scripts/architecture_tree.py --write

writes both into ARCHITECTURE.md.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "unimask"

sys.path.insert(0, str(ROOT / "tests"))
from layers import LAYERS  # noqa: E402  (the tests enforce them)


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.split("\n")[0]


def tree(folder: Path, depth: int = 1) -> list[str]:
    """List a folder: its files, then its packages."""
    lines = []
    indent = "  " * depth
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py" or folder == PACKAGE:
            lines.append(f"{indent}{path.name:<26} {first_line(path)}")
    for package in sorted(p for p in folder.iterdir() if (p / "__init__.py").is_file()):
        lines.append(f"{indent}{package.name + '/':<26} {first_line(package / '__init__.py')}")
        lines += tree(package, depth + 1)
    return lines


def layers() -> list[str]:
    """List the layers, highest first, each with its packages."""
    ranked = list(enumerate(LAYERS))[::-1]
    return [f"{rank:>2}  {' · '.join(names)}" for rank, names in ranked]


def main() -> None:
    """Print layers and tree, or write them into ARCHITECTURE.md."""
    blocks = {
        r"```\n *\d+  cli\n.*?```": "```\n" + "\n".join(layers()) + "\n```",
        r"```\nsrc/unimask/\n.*?```": "```\nsrc/unimask/\n" + "\n".join(tree(PACKAGE)) + "\n```",
    }
    if "--write" not in sys.argv:
        print("\n\n".join(blocks.values()))
        return
    target = ROOT / "ARCHITECTURE.md"
    text = target.read_text()
    for pattern, block in blocks.items():
        text = re.sub(pattern, lambda _, block=block: block, text, count=1, flags=re.DOTALL)
    target.write_text(text)


if __name__ == "__main__":
    main()
