"""Print the tree of the package, one line a file, from the files' own first lines.

    python scripts/architecture_tree.py --write

puts it into ARCHITECTURE.md.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "unimask"


def first_line(path: Path) -> str:
    """Give a module's first docstring line."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return text.split("\n")[0]


def tree(folder: Path, depth: int = 1) -> list[str]:
    """List a folder: its files, then its rooms."""
    lines = []
    indent = "  " * depth
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py" or folder == PACKAGE:
            lines.append(f"{indent}{path.name:<26} {first_line(path)}")
    for room in sorted(p for p in folder.iterdir() if (p / "__init__.py").is_file()):
        lines.append(f"{indent}{room.name + '/':<26} {first_line(room / '__init__.py')}")
        lines += tree(room, depth + 1)
    return lines


def main() -> None:
    """Print the tree, or write it into its place."""
    block = "```\nsrc/unimask/\n" + "\n".join(tree(PACKAGE)) + "\n```"
    if "--write" not in sys.argv:
        print(block)
        return
    target = ROOT / "ARCHITECTURE.md"
    text = target.read_text()
    pattern = re.compile(r"```\nsrc/unimask/\n.*?```", re.DOTALL)
    target.write_text(pattern.sub(lambda _: block, text, count=1))


if __name__ == "__main__":
    main()
