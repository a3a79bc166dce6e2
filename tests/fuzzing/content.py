"""Format-aware mutations of one small file, with valid checksums.

A flipped byte of a PNG or a zip only tests its checksum. Here
PNGs, zips, safetensors and numpy files are parsed, mutated, and written again.
"""

import io
import json
import re
import struct
import zipfile
import zlib
from random import Random

from mutations import HOSTILE, TOO_LARGE, mutated_bytes, mutated_json, mutated_xml

NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 10**5, 2**31 - 1, 2**31, 2**32 - 1)
TOKEN = re.compile(r"[^\s,:;=\"'\[\]{}]+")
WORDS = (
    *(str(value).replace(TOO_LARGE, "1e400")[:600] for value in HOSTILE),
    "&a [*a, *a]", "*a", "!!python/object/apply:os.system [id]", "<<: *a", "? ", "- - - -", "---",
    "{" * 500, "[" * 500, "#FFFFFF", "#GG0000", "rgb(1,2,3)", "0,0,0", "1 0.5 0.5 2 2", "%YAML 9",
)  # fmt: skip
YAML_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def flipped(data: bytes, random: Random) -> bytes:
    """Return the bytes with one to four of them replaced."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if changed:
            changed[random.randrange(len(changed))] = random.choice(
                (0, 1, 127, 255, random.randrange(256))
            )
    return bytes(changed)


def mutated_text(data: bytes, random: Random) -> bytes:
    """Return text with some words or lines replaced, repeated or removed."""
    text = data.decode("utf-8", "replace")
    for _ in range(random.choice((1, 1, 2, 3))):
        lines, tokens = text.split("\n"), list(TOKEN.finditer(text))
        kind, index = random.randrange(8), random.randrange(len(lines))
        if kind < 4 and tokens:
            start, end = random.choice(tokens).span()
            text = text[:start] + random.choice(WORDS) + text[end:]
            continue
        if kind == 4:
            lines[index] *= 2
        elif kind == 5:
            del lines[index]
        elif kind == 6:
            lines.insert(index, random.choice([*WORDS, YAML_BOMB, ",a" * 2000, "0 " * 3000]))
        else:
            lines.insert(index, random.choice(lines))
        text = "\n".join(lines)
    encodings = ("utf-8",) * 7 + ("utf-8-sig", "utf-16", "latin-1")
    encoded = text.encode(random.choice(encodings), "replace")
    return mutated_bytes(encoded, random) if random.random() < 0.1 else encoded


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the kind and the content of each chunk."""
    chunks, position = [], 8
    while position + 8 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        chunks.append(
            (data[position + 4 : position + 8], data[position + 8 : position + 8 + length])
        )
        position += length + 12
    return chunks


def mutated_png(data: bytes, random: Random) -> bytes:
    """Return a PNG with changed chunks whose checksums are right."""
    chunks = png_chunks(data)
    index = random.randrange(len(chunks))
    kind, content = chunks[index]
    choice = random.randrange(7)
    if choice == 0:  # another size, depth or colour type
        values = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        field = random.randrange(7)
        values[field] = (
            random.choice(NUMBERS) if field < 2 else random.choice((0, 1, 2, 3, 4, 6, 8, 16))
        )
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *values))
    elif choice == 1:
        del chunks[index]
    elif choice == 2:
        chunks.insert(random.randrange(1, len(chunks) + 1), (kind, content))
    elif choice == 3:
        chunks.insert(random.randrange(1, len(chunks)), random.choice(EXTRA_CHUNKS))
    elif choice == 4 and kind == b"IDAT":  # other pixels, validly compressed
        try:
            content = zlib.compress(flipped(zlib.decompress(content), random))
        except zlib.error:
            content = zlib.compress(b"")
        chunks[index] = (kind, content)
    else:
        chunks[index] = (kind, flipped(content, random))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def exif(orientation: int) -> bytes:
    """Return the content of an eXIf chunk with one entry."""
    return struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 274, 3, 1, orientation) + bytes(4)


EXTRA_CHUNKS = (
    (b"eXIf", exif(6)), (b"eXIf", exif(99)), (b"eXIf", b"II*\0\xff\xff\xff\xff"),
    (b"tRNS", b"\0\0"), (b"tRNS", b"\0" * 6), (b"PLTE", b"\0" * 5), (b"PLTE", b"\0" * 768),
    (b"iCCP", b"x\0\0" + zlib.compress(bytes(10**6))),
    (b"zTXt", b"k\0\0" + zlib.compress(bytes(10**7))),
    (b"acTL", struct.pack(">II", 2**31, 0)), (b"fcTL", bytes(26)), (b"gAMA", bytes(4)),
)  # fmt: skip


def mutated_zip(data: bytes, random: Random) -> bytes:
    """Return a zip of stored files, one of which is changed, renamed, lost or repeated."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(sorted(files, key=lambda n: (not n.endswith(".pkl"), n))[:3])
    content, kind = files.pop(name), random.randrange(8)
    if kind == 0:
        files[random.choice(("x", "archive/x", "../x", "a/data.pkl", name + "0"))] = content
    elif kind == 1:
        files[name] = mutated_bytes(content, random)
    elif kind > 2:
        files[name] = flipped(content, random)
    changed = io.BytesIO()
    with zipfile.ZipFile(
        changed, "w", random.choice((zipfile.ZIP_STORED,) * 5 + (zipfile.ZIP_DEFLATED,))
    ) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return changed.getvalue()


def mutated_safetensors(data: bytes, random: Random) -> bytes:
    """Return tensors with a changed header of the right length, or now and then of another."""
    (length,) = struct.unpack("<Q", data[:8])
    header = mutated_json(json.loads(data[8 : 8 + length]), random)
    declared = random.choice((len(header),) * 7 + (random.choice(NUMBERS), 2**63, len(data)))
    return struct.pack("<Q", declared) + header + data[8 + length :]


SHAPES = (
    "()", "(8,)", "(2, 2, 2)", "(-1, 8)", "(0, 8)", "(8, 8, 1)", "(30000, 30000)",
    "(4294967296, 4294967296)", "x",
)  # fmt: skip
TYPES = (
    "|b1", "<f8", "<f4", "<f2", "<i8", "<u4", ">u2", "|O", "<c16", "|S1", "<U1", "<M8[s]", "?", "x",
)  # fmt: skip


def mutated_numpy(data: bytes, random: Random) -> bytes:
    """Return an array with another type, shape or order in its header, of the right length."""
    (length,) = struct.unpack("<H", data[8:10])
    header = data[10 : 10 + length].decode("latin-1")
    shape, kind = random.choice(SHAPES), random.choice(TYPES)
    changes = ((r"\([\d, ]*\)", shape), (r"'[|<>=][^']*'", f"'{kind}'"), ("False", "True"))
    pattern, new = random.choice(changes)
    header = re.sub(pattern, lambda _: new, header, count=1).ljust(length)
    return (
        data[:8] + struct.pack("<H", len(header)) + header.encode("latin-1") + data[10 + length :]
    )


def mutated_content(suffix: str, data: bytes, random: Random) -> bytes:
    """Mutate the content of a file by its format, or its bytes in every seventh case."""
    if not data or random.random() < 0.15:
        return random.choice((flipped, mutated_bytes))(data, random)
    if suffix == ".json":
        return mutated_json(json.loads(data), random)
    if suffix == ".jsonl":
        lines = data.splitlines()
        row = random.randrange(len(lines))
        lines[row] = mutated_json(json.loads(lines[row]), random)
        return b"\n".join(lines) + b"\n"
    if suffix in (".xml",):
        return mutated_xml(data.decode(), random)
    if suffix in (".txt", ".yaml", ".yml", ".csv", ".md"):
        return mutated_text(data, random)
    if suffix == ".png":
        return mutated_png(data, random)
    if suffix in (".pth", ".pt", ".bin") and data[:2] == b"PK":
        return mutated_zip(data, random)
    if suffix == ".safetensors":
        return mutated_safetensors(data, random)
    if suffix == ".npy":
        return mutated_numpy(data, random)
    return flipped(data, random)
