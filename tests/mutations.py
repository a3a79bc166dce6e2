"""Mutations of small valid files, as produced by faulty tools, broken transfers and attackers.

Every function takes a `random.Random`, so that a seed reproduces a case. `HOSTILE` are values
that fields are replaced by; `mutated_json`, `mutated_xml` and `mutated_bytes` change the content of
one file, `mutate_folder` files as a whole. `read_dataset` is the call under test.
"""

import copy
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from unimask.datasets import describe, open_dataset
from unimask.datasets.interface import count_things
from unimask.errors import UnimaskError

TOO_LARGE = "@too large for a float@"
"""Written as the token 1e400, which `json.dumps` cannot write itself."""

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 1.0, 1.5, -0.0, 1e-300, 1e30, -1e30, 2**31, 2**32, 2**53 + 1,
    2**63, -(2**63) - 1, 10**30, 10**400, -(10**400), float("nan"), float("inf"), float("-inf"),
    TOO_LARGE, "", " ", "0", "1", "01", "1.0", "-1", "1e5", "true", "false", "nan", "null", "x",
    "é", "e\u0301", "a\0b", "\ud800", "\udfff\ud800", "\x1b[31m", "[/b]", "[bold]", "\n",
    "../../etc/passwd", "/dev/zero", "C:\\a.png", "a" * 5000, "9" * 5000, "%2e%2e", [], {}, [None],
    [[]], [0], [1, 2], ["x"], [[1, 2, 3]], [[1, 1, 9, 1, 9, 9]], [float("nan")] * 6, [10**400] * 6,
    [1e308] * 6, {"": 0}, {"size": [48, 64], "counts": [2**62, 2**62, 2**62, 2**62, 3072]},
    {"size": [2**31, 2**31], "counts": []},
    {"size": [48, 64], "counts": "a" * 500}, {"size": [48, 64], "counts": [-1, 3073]},
    {"size": ["48", 64.0], "counts": [3072]}, {"size": 1, "counts": None}, {"a": {"b": {"c": []}}},
)  # fmt: skip

DEPTH = 10**5
"""Levels of nesting in bombs."""

BOMBS = (
    b"[" * DEPTH,
    b'{"images": ' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    b'{"a":' * DEPTH,
    b'{"shapes": [{"label": "a", "points": ' + b"[" * DEPTH,
    b'"' + b"\\" * 10**6,
    b"[" + b"1" * 10**6 + b"]",
    b'<?xml version="1.0"?>\n<annotations>' + b"<image " * DEPTH,
    b'<?xml version="1.0"?>\n<annotations>' + b"<a>" * DEPTH,
    b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY a0 "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
    + b"]>\n<annotations>&a11;</annotations>",
    b'<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n'
    b"<annotations>&x;</annotations>",
    b'<?xml version="1.0" encoding="a"?>\n<annotations></annotations>',
    b'<?xml version="1.0" encoding="utf-7"?>\n<annotations>+ADw-</annotations>',
)
"""Small files that take a naive reader unbounded time or memory."""


def replaced(change: Callable[[Any, Random], Any]):
    """Turn a change of one value into a change of a random value of a JSON."""

    def apply(content: Any, random: Random) -> Any:
        slots = list(value_slots(content))
        if not slots:
            return change(content, random)
        holder, key = random.choice(slots)
        holder[key] = change(holder[key], random)
        return content

    return apply


def value_slots(content: Any) -> Iterator[tuple[Any, Any]]:
    """Iterate over all values of a parsed JSON: the object or list that holds each, and its key."""
    stack = [content] if isinstance(content, dict | list) else []
    while stack:
        holder = stack.pop()
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in items:
            yield holder, key
            if isinstance(value, dict | list):
                stack.append(value)


def drop(content: Any, random: Random) -> Any:
    """Remove a key or an item."""
    slots = list(value_slots(content))
    if slots:
        holder, key = random.choice(slots)
        del holder[key]
    return content


def rename(content: Any, random: Random) -> Any:
    """Rename a key."""
    slots = [(holder, key) for holder, key in value_slots(content) if isinstance(holder, dict)]
    if slots:
        holder, key = random.choice(slots)
        changed = random.choice([key.upper(), f"{key} ", key[:-1], "id", "name", ""])
        holder[changed] = holder.pop(key)
    return content


def double(content: Any, random: Random) -> Any:
    """Repeat an item of a list."""
    lists = [holder for holder, _ in value_slots(content) if isinstance(holder, list)]
    if lists:
        items = random.choice(lists)
        items.insert(random.randrange(len(items) + 1), copy.deepcopy(random.choice(items)))
    return content


def swap(content: Any, random: Random) -> Any:
    """Copy one value over another."""
    slots = list(value_slots(content))
    if slots:
        (holder, key), (other, name) = random.choice(slots), random.choice(slots)
        holder[key] = copy.deepcopy(other[name])
    return content


JSON_CHANGES = (
    *[replaced(lambda _, random: copy.deepcopy(random.choice(HOSTILE)))] * 6,
    replaced(lambda value, _: [copy.deepcopy(value)]),
    replaced(lambda value, _: {"value": copy.deepcopy(value)}),
    replaced(lambda value, _: str(value)),
    replaced(lambda value, _: json.dumps(value)),
    drop,
    rename,
    double,
    swap,
)


def mutated_json(content: Any, random: Random) -> bytes:
    """Return a JSON with one to three changes of its values, and perhaps of its bytes."""
    content = copy.deepcopy(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        content = random.choice(JSON_CHANGES)(content, random)
    text = json.dumps(content).replace(json.dumps(TOO_LARGE), "1e400")
    if random.random() < 0.1:
        text = text.replace("{", '{"id": 1, "id": [2], ', 1)  # a key twice
    encoded = text.encode(random.choice(("utf-8",) * 7 + ("utf-8-sig", "utf-16", "utf-32-be")))
    return mutated_bytes(encoded, random) if random.random() < 0.1 else encoded


ATTRIBUTE = re.compile(r'="([^"<>]{0,1000})"')
ELEMENT = re.compile(r"<(\w+)[^<>]{0,1000}>")
XML_TEXT = (
    "", "-1", "0", "1.5", "1e400", "nan", "inf", "9" * 400, "99999999999999999999", "x", "1,2",
    "1,2;3", "1,1;2,2;nan,3", ";;;", ",", "0,0;1e308,0;1e308,1e308", "&lt;", "&#1;", "&x;", "a\0b",
    "\ud83d", "é", "9223372036854775807, 9223372036854775807, 2", "0, 3072", "3072", "-5, 5",
    "1" * 9000, "polygon",
)  # fmt: skip


def mutated_xml(text: str, random: Random) -> bytes:
    """Return an XML with one to three changes of its elements, and perhaps of its bytes."""
    for _ in range(random.choice((1, 1, 2, 3))):
        attributes, elements = list(ATTRIBUTE.finditer(text)), list(ELEMENT.finditer(text))
        kind = random.randrange(6)
        if kind < 3 and attributes:
            found = random.choice(attributes)
            start, end, new = *found.span(1), random.choice(XML_TEXT)
        elif kind == 3 and elements:
            found = random.choice(elements)
            start, end, new = *found.span(), random.choice(["", found[0] * 2, "<track id='0'>"])
        elif kind == 4 and elements:
            found = random.choice(elements)
            names = ["image", "mask", "box", "ellipse", "polygon", "cuboid", "label", "skeleton"]
            start, end, new = *found.span(1), random.choice(names)
        else:
            start, end = 0, text.find("?>") + 2
            encoding = random.choice(["a", "utf-16", "latin-1", "utf-7", "cp037", "", "ascii", "é"])
            new = f'<?xml version="1.0" encoding="{encoding}"?>'
        text = text[:start] + new + text[end:]
    encoded = text.encode(random.choice(("utf-8",) * 7 + ("utf-16", "latin-1")), "replace")
    return mutated_bytes(encoded, random) if random.random() < 0.1 else encoded


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Return bytes that were cut, overwritten, repeated or replaced by a bomb."""
    cut, end = sorted(random.choices(range(len(data) + 1), k=2))
    return random.choice(
        (
            data[:cut],
            data[:cut] + data[end:],
            data[:cut] + random.randbytes(8) + data[cut + 8 :],
            data[:cut] + bytes(end - cut) + data[end:],
            data + data,
            b"\xef\xbb\xbf" + data,
            b"",
            random.choice(BOMBS),
        )
    )


def mutate_folder(folder: Path, random: Random) -> None:
    """Replace a file of a folder: remove, truncate or copy it, or make it a folder or a link."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = random.choice(files)
    data = path.read_bytes()
    kind = random.randrange(8)
    if kind == 0:
        path.with_name(f"{path.stem} {path.suffix}").write_bytes(data)
    elif kind == 1:
        path.write_bytes(mutated_bytes(data, random))
    elif kind == 2:
        path.write_bytes(random.choice(files).read_bytes())
    elif kind == 3:
        path.chmod(0)
    else:
        path.unlink()
    if kind == 4:
        path.mkdir()
    elif kind == 5:
        path.symlink_to(folder / "nothing is here")
    elif kind == 6:
        path.symlink_to(path.name)  # to itself


def read_dataset(folder: Path, **options: Any) -> str:
    """Open a dataset, describe it, and read all of its samples.

    Returns:
        The message of a refusal, which has one line; "" for a dataset that was read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = open_dataset(folder, **options)
            describe(dataset)
            count_things(dataset)
            for index in range(len(dataset)):
                sample = dataset[index]
                assert sample.id_maps.shape[1:] == sample.size
                assert len(sample.label_ids) == len(sample.crowds)
        except UnimaskError as error:
            message = str(error)
            assert message and "\n" not in message, message
            return message
    return ""
