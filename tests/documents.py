"""Code blocks of the documentation."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_blocks(path: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / path).read_text(encoding="utf-8"), re.DOTALL)
