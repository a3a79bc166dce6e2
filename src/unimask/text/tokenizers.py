"""Tokenizers from sentences to token ids: CLIP's, read from its files, or bytes, without files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from unimask.errors import MissingExtraError, SettingsError, one_line
from unimask.text.task_sentences import END_TOKEN, START_TOKEN

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

NUM_TOKENS = 77
"""Number of tokens per sentence, start and end included; longer ones are cut, shorter ones padded
with zeros.
"""


@runtime_checkable
class Tokenizer(Protocol):
    """Protocol of tokenizers; the end token has the highest id."""

    vocabulary: int

    def encode(self, sentences: Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Return the token ids of every sentence."""
        ...


class ByteTokenizer:
    """A tokenizer of UTF-8 bytes; an id is the byte's value plus 1, and 0 is padding."""

    vocabulary = 259

    def encode(self, sentences: Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Return the token ids of every sentence in lower case."""
        rows = [[byte + 1 for byte in text.lower().encode()] for text in sentences]
        return pad_rows(rows, 257, 258)


class ClipTokenizer:
    """The tokenizer of OneFormer's authors, read from the files of any CLIP model.

    Args:
        path: File `tokenizer.json`, or a folder with it or with `vocab.json` and `merges.txt`.

    Raises:
        MissingExtraError: The extra `train` is not installed.
        SettingsError: The files are missing, or hold another tokenizer than CLIP's.
    """

    vocabulary = END_TOKEN + 1

    def __init__(self, path: Path) -> None:
        self.path = path
        with convert_engine_errors(path):
            self.engine = open_engine(path)
            known = [self.engine.token_to_id(t) for t in ("<|startoftext|>", "<|endoftext|>")]
        if known != [START_TOKEN, END_TOKEN]:
            raise SettingsError(f"{path} is not CLIP's tokenizer: pass tokenizer.json of one")

    def encode(self, sentences: Sequence[str]) -> Int[np.ndarray, "n t"]:
        """Return the token ids of every sentence in lower case.

        Raises:
            SettingsError: The files lack tokens of a sentence.
        """
        texts = [text.lower() for text in sentences]
        with convert_engine_errors(self.path):
            encodings = self.engine.encode_batch(texts, add_special_tokens=False)
        return pad_rows([row.ids for row in encodings], START_TOKEN, END_TOKEN)


@contextmanager
def convert_engine_errors(path: Path) -> Iterator[None]:
    """Convert errors of the package `tokenizers` to one-line errors that name the file.

    It raises plain exceptions, and for some damaged files Rust panics, which are no `Exception`.

    Raises:
        MissingExtraError: The package is not installed.
        SettingsError: The files are damaged.
    """
    try:
        yield
    except ImportError:
        raise MissingExtraError("tokenizers", "train") from None
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise SettingsError(f"{path} holds no CLIP tokenizer ({one_line(error)})") from error


def open_engine(path: Path) -> "Engine":
    """Read `tokenizer.json`, or build CLIP's byte-level BPE tokenizer from its two files."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    whole = path / "tokenizer.json" if path.is_dir() else path
    if whole.is_file():
        return Tokenizer.from_file(str(whole))
    model = models.BPE.from_file(
        str(path / "vocab.json"), str(path / "merges.txt"), end_of_word_suffix="</w>"
    )
    engine = Tokenizer(model)
    engine.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return engine


def pad_rows(rows: list[list[int]], start: int, end: int) -> Int[np.ndarray, "n t"]:
    """Add start and end tokens to each row, cut it to `NUM_TOKENS` and pad it with zeros."""
    ids = np.zeros((len(rows), NUM_TOKENS), np.int64)
    for target, row in zip(ids, rows, strict=True):
        tokens = [start, *row[: NUM_TOKENS - 2], end]
        target[: len(tokens)] = tokens
    return ids


def open_tokenizer(name: str) -> Tokenizer:
    """Return the tokenizer "bytes", or CLIP's tokenizer at a path.

    Raises:
        MissingExtraError, SettingsError: As raised by `ClipTokenizer`.
    """
    return ByteTokenizer() if name == "bytes" else ClipTokenizer(Path(name).expanduser())
