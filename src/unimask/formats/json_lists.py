"""JSON files of long lists, written item by item in constant memory."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path


class JsonListsFile:
    """A JSON file `{"KEY": [item, ...], ...}` whose items are appended to temporary files first.

    Args:
        path: File to write; its folder is created.
        keys: Keys of the lists.
    """

    def __init__(self, path: Path, keys: Iterable[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.keys = path, tuple(keys)
        self.counts = dict.fromkeys(self.keys, 0)

    def part(self, key: str) -> Path:
        """Return the temporary file of a list."""
        return self.path.with_name(f".{self.path.name}.{key}")

    def extend(self, key: str, items: Iterable[object]) -> None:
        """Append items to a list."""
        with self.part(key).open("a", encoding="utf-8") as stream:
            for item in items:
                stream.write((",\n" if self.counts[key] else "\n") + json.dumps(item))
                self.counts[key] += 1

    def finish(self, others: Mapping[str, object]) -> None:
        """Write the file, with further keys after the lists, and remove the temporary files."""
        with self.path.open("w", encoding="utf-8") as stream:
            stream.write("{")
            for key in self.keys:
                stream.write(f"{json.dumps(key)}: [")
                if self.part(key).exists():
                    with self.part(key).open(encoding="utf-8") as items:
                        shutil.copyfileobj(items, stream)
                    self.part(key).unlink()
                stream.write("],\n")
            pairs = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in others.items())
            stream.write(",\n".join(pairs) + "}\n")
