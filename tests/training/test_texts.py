"""Choice of the tokenizer for OneFormer's texts."""

import shutil
from dataclasses import replace

import pytest
import torch
from conftest import NUCLEI, TINY_ONEFORMER, tiny_checkpoint
from training.plan.test_network import start

from unimask.checkpoints import write_huggingface
from unimask.text.task_sentences import END_TOKEN
from unimask.training import TrainingSettings
from unimask.training.texts import tokenizer_for

TASKS = ("semantic", "instance", "panoptic")


@pytest.fixture(scope="module")
def published(tmp_path_factory, clip_files):
    """OneFormer as published: CLIP's vocabulary, with its files beside the weights."""
    folder = tmp_path_factory.mktemp("oneformer")
    text = replace(TINY_ONEFORMER.text, vocabulary=END_TOKEN + 1)
    write_huggingface(folder, tiny_checkpoint(replace(TINY_ONEFORMER, text=text)))
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(clip_files[0] / name, folder)
    return folder


def texts_of(state):
    return {name: t for name, t in state.items() if name.startswith("text_mapper.")}


def test_trained_text_weights_are_kept_with_their_vocabulary(published):
    pytest.importorskip("tokenizers")
    assert tokenizer_for(str(published), "auto") == str(published)
    before = tiny_checkpoint(
        replace(TINY_ONEFORMER, text=replace(TINY_ONEFORMER.text, vocabulary=END_TOKEN + 1))
    )
    _, found, words = start(
        str(published), NUCLEI, TASKS, TrainingSettings(tokenizer=str(published))
    )
    assert "text branch" not in words
    for name, tensor in texts_of(before.state).items():
        assert torch.equal(texts_of(found)[name], tensor)


def test_without_vocabulary_files_texts_use_a_byte_tokenizer(published, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(published, alone)
    (alone / "merges.txt").unlink()
    assert tokenizer_for(str(alone), "auto") == "bytes"
    initial, _, words = start(str(alone), NUCLEI, TASKS, TrainingSettings(tokenizer="bytes"))
    assert "new text branch, with the tokenizer bytes" in words
    assert initial.description.config.text.vocabulary == 259


def test_explicit_settings_are_used():
    assert tokenizer_for("oneformer-nano", "auto") == "bytes"
    assert tokenizer_for("oneformer-nano", "some/folder") == "some/folder"
