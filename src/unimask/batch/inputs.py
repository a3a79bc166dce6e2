"""Images of a batch run: listed from a folder, a pattern, lists of paths or tar archives."""

import glob
import hashlib
import os
import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from unimask.batch.path_lists import LIST_SUFFIXES, read_paths
from unimask.batch.remote import absolute, fetch, file_size, filesystem, is_uri, is_web_address
from unimask.batch.tar_members import list_members, member_uri, read_member, split_member
from unimask.errors import DataError, ImageError, SettingsError
from unimask.inference.sources import list_sources
from unimask.processing.images import IMAGE_SUFFIXES, EncodedImage, Source

TAR_SUFFIX = ".tar"
COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
"""Ranges of numbers in names, such as `shard-{000..127}.tar`."""

MAX_EXPANDED = 10**6
"""Largest number of names of a range."""

INSPECTED_PATHS = 20
"""Number of the first paths of a list, of which one must exist."""

INSPECTED_MEMBERS = 200
"""Number of the first images of an archive that are compared by name."""


class InputItem(NamedTuple):
    """One image of a run.

    Attributes:
        path: Absolute path or URI of the image; "" if the list has none.
        archive: Path or URI of the tar archive that holds it; None for a file of its own.
        start: Position in the archive.
        size: Number of bytes in the archive.
    """

    path: str
    archive: str | None = None
    start: int | None = None
    size: int | None = None

    def source(self) -> Source:
        """Return the image as a source for `Predictor.stream`."""
        if self.archive is not None and self.start is not None and self.size is not None:
            return EncodedImage(
                self.path, partial(read_member, self.archive, self.start, self.size)
            )
        if not self.path:
            return EncodedImage("this row", missing_path)
        if is_uri(self.path) and not is_web_address(self.path):
            return EncodedImage(self.path, partial(fetch, self.path))
        return self.path


def readable_path(path: str) -> str:
    """Return the path of an image with "/" between folders; for a member, archive and name."""
    if path.startswith("tar://"):
        member, _, archive = path.removeprefix("tar://").partition("::")
        return f"{readable_path(archive)}/{member}"
    return path.replace(os.sep, "/")


def missing_path() -> bytes:
    """Raise the error of a row without a path."""
    raise ImageError("this row of the list has no path: add it")


@dataclass(frozen=True)
class InputListing:
    """Images that the argument of a run names, in a fixed order.

    Attributes:
        files: Absolute paths or URIs: of images, of lists or of archives, by `kind`.
        kind: "images", "lists" or "archives".
        column: Column of the paths in lists, or extension of the images in archives.
    """

    files: list[str]
    kind: str
    column: str | None = None

    def items(self) -> Generator[InputItem]:
        """Yield the images; those of lists and archives in constant memory."""
        for file in self.files:
            if self.kind == "images":
                yield InputItem(file)
            elif self.kind == "lists":
                yield from (InputItem(path) for path in read_paths(file, self.column))
            else:
                for name, start, size in list_members(file, self.column):
                    yield InputItem(member_uri(file, name), file, start, size)

    def digest(self) -> str:
        """Compute a digest of the images' paths, or of the archives' paths and sizes.

        It is the same on every machine with the same files at the same paths.
        """
        digest = hashlib.sha256()
        if self.kind == "archives":
            for file in self.files:
                digest.update(f"{file}\n{file_size(file)}\n".encode("utf-8", "surrogatepass"))
        else:
            for item in self.items():
                digest.update(f"{item.path}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def check(self) -> None:
        """Test the first images: that paths are not all wrong, and samples have one image each.

        Raises:
            DataError: None of the first paths of a list exists.
            SettingsError: Samples of an archive have several images.
        """
        if self.kind == "archives" and self.column is None:
            with closing(list_members(self.files[0])) as members:
                check_samples(self.files[0], [m[0] for m in islice(members, INSPECTED_MEMBERS)])
        if self.kind != "lists":
            return
        with closing(self.items()) as items:
            paths = [item.path for item in islice(items, INSPECTED_PATHS)]
        if paths and not any(is_uri(path) or os.path.exists(path) for path in paths if path):
            raise DataError(
                f"{self.files[0]}: none of its first {len(paths)} images exists, such as "
                f"{paths[0]}: relative paths belong to the folder of the list"
            )


def check_samples(archive: str, names: list[str]) -> None:
    """Test that an archive has one image per sample; members of a sample differ in their extension.

    Raises:
        SettingsError: A sample has several.
    """
    extensions: dict[str, list[str]] = {}
    for name in names:
        key, extension = split_member(name)
        extensions.setdefault(key, []).append(extension)
    for several in extensions.values():
        if len(several) > 1:
            raise SettingsError(
                f"{archive} has several images per sample ({', '.join(several)}): choose one with "
                f"--column, such as --column {several[0]}"
            )


def list_inputs(source: str, column: str | None = None) -> InputListing:
    """Find the images that the argument of a run names.

    Args:
        source: Folder, pattern, image, list of paths (.txt, .csv, .tsv, .parquet) or tar archive,
            on disk or as a URI; patterns and ranges such as {000..127} name several.
        column: Column of the paths in a CSV or Parquet file, or extension of the images in
            archives of webdataset, such as "jpg".

    Raises:
        DataError: A file does not exist, or is damaged.
        ImageError: A folder or pattern has no images.
        SettingsError: An argument does not fit the source.
    """
    name = source.lower()
    if name.endswith(COMPRESSED_TARS):
        raise SettingsError(f"{source} is compressed, so its files have no position: unpack it")
    if name.endswith(LIST_SUFFIXES):
        return InputListing(expand(source), "lists", column)
    if name.endswith(TAR_SUFFIX):
        return InputListing(expand(source), "archives", column)
    if column is not None:
        raise SettingsError(f"--column {column}: {source} is no table or archive; omit it")
    if is_web_address(source):
        return InputListing([source], "images")
    if is_uri(source) and not source.startswith("file://"):
        return InputListing(list_remote_images(source), "images")
    local = source.removeprefix("file://")
    if not glob.has_magic(local) and not os.path.lexists(local):
        raise DataError(f"{local or 'an empty path'} does not exist: check the path")
    return InputListing([absolute(str(path)) for path in list_sources(local)], "images")


def expand(source: str) -> list[str]:
    """Return the files that a path, a pattern or a range of numbers names, as absolute paths.

    Raises:
        DataError: A file does not exist, or none fits the pattern.
    """
    files = []
    for name in expand_braces(source):
        path = absolute(name)
        if not glob.has_magic(name) or (not is_uri(path) and os.path.exists(path)):
            if not is_uri(path) and not os.path.isfile(path):
                raise DataError(f"{name} does not exist: check the path")
            files.append(path)
        elif is_uri(path):
            system, inner = filesystem(path)
            files += [system.unstrip_protocol(match) for match in sorted(system.glob(inner))]
        else:
            files += sorted(glob.glob(path, recursive=True))
    if not files:
        raise DataError(f"no file fits {source}: check the pattern")
    return files


def expand_braces(text: str) -> list[str]:
    """Expand ranges of numbers: `a-{08..10}` becomes `a-08`, `a-09` and `a-10`.

    Raises:
        SettingsError: The ranges have more than `MAX_EXPANDED` names.
    """
    match = BRACES.search(text)
    if match is None:
        return [text]
    first, last = int(match[1]), int(match[2])
    if last < first or last - first >= MAX_EXPANDED:
        raise SettingsError(f"{text}: {match[0]} must rise, over at most {MAX_EXPANDED:,} numbers")
    before, after, digits = text[: match.start()], expand_braces(text[match.end() :]), len(match[1])
    numbers = [f"{number:0{digits}d}" for number in range(first, last + 1)]
    return [before + number + rest for number in numbers for rest in after]


def list_remote_images(source: str) -> list[str]:
    """List the images of a remote folder or pattern, or a single one.

    Raises:
        ImageError: There are none.
    """
    system, inner = filesystem(source)
    if glob.has_magic(inner):
        paths = system.glob(inner)
    else:
        paths = system.find(inner) if system.isdir(inner) else [inner]
    uris = [system.unstrip_protocol(path) for path in sorted(paths) if is_visible_image(path)]
    if not uris:
        raise ImageError(f"{source} holds no images: choose another folder or pattern")
    return uris


def is_visible_image(path: str) -> bool:
    """Return whether a remote path has the name of a visible image."""
    name = path.rpartition("/")[2]
    suffix = os.path.splitext(name)[1].lower()
    return suffix in IMAGE_SUFFIXES - {".npy"} and not name.startswith(".")
