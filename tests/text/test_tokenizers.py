"""Tokenizers: sentences to ids."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unimask.errors import SettingsError
from unimask.text.task_sentences import END_TOKEN, START_TOKEN, task_tokens
from unimask.text.tokenizers import ByteTokenizer, open_tokenizer


@given(st.lists(st.text(max_size=100), min_size=1, max_size=4))
def test_bytes_are_encoded_up_to_the_length(sentences):
    rows = ByteTokenizer().encode(sentences)
    assert rows.shape == (len(sentences), 77) and rows.max() == 258
    for row, sentence in zip(rows, sentences, strict=True):
        end = int(row.argmax())
        assert row[0] == 257 and not row[end + 1 :].any()
        assert bytes((row[1:end] - 1).tolist()) == sentence.lower().encode()[:75]


def test_words_split_and_merge_as_in_clip(clip_files):
    folder, words = clip_files
    pytest.importorskip("tokenizers")
    tokenizer = open_tokenizer(str(folder))
    (row,) = tokenizer.encode(["The  TASK is t-x 12"])
    expected = ["the</w>", "task</w>", "i", "s</w>", "t</w>", "-</w>", "x</w>", "1</w>", "2</w>"]
    ids = [START_TOKEN, *(words.index(word) for word in expected), END_TOKEN]
    assert row.tolist() == ids + [0] * (77 - len(ids))
    tokenizer.engine.save(str(folder / "tokenizer.json"))
    again = open_tokenizer(str(folder / "tokenizer.json"))
    assert np.array_equal(again.encode(["a task: the"]), tokenizer.encode(["a task: the"]))
    assert tokenizer.vocabulary == END_TOKEN + 1


def test_invalid_tokenizers_are_named(tmp_path, clip_files):
    pytest.importorskip("tokenizers")
    with pytest.raises(SettingsError, match="holds no CLIP tokenizer"):
        open_tokenizer(str(tmp_path / "missing"))
    folder, words = clip_files
    (tmp_path / "merges.txt").write_text((folder / "merges.txt").read_text())
    (tmp_path / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(reversed(words))}))
    with pytest.raises(SettingsError, match="not CLIP's tokenizer"):
        open_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [{"continuing_subword_prefix": "null"}, {"unk_token": "None"}],
    ids=["a Rust panic on loading", "an unknown token on encoding"],
)
def test_damaged_tokenizers_are_named(tmp_path, clip_files, damage):
    folder, _ = clip_files
    pytest.importorskip("tokenizers")
    file = tmp_path / "tokenizer.json"
    open_tokenizer(str(folder)).engine.save(str(file))
    content = json.loads(file.read_text())
    content["model"] |= damage
    content["model"]["vocab"].pop("x</w>")
    file.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=r"holds no CLIP tokenizer \(.+\)$"):
        open_tokenizer(str(file)).encode(["x"])


def test_task_tokens_equal_the_authors():
    """Computed once with their tokenizer from their file; padded with zeros."""
    assert task_tokens("instance", 8) == [49406, 518, 10549, 533, 34572, 49407, 0, 0]
    assert task_tokens("panoptic", 7) == [49406, 518, 10549, 533, 1072, 24755, 49407]
    assert task_tokens("semantic", 7) == [49406, 518, 10549, 533, 29119, 1550, 49407]
