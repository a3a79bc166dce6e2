"""How MaskFormer's folders of the Hub say to treat pictures and pixels."""

import json

import pytest
from conftest import TINY_MASKFORMER, tiny_checkpoint

from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import PreprocessingConfig

MEAN = {"image_mean": [0.5, 0.25, 0.125], "image_std": [0.25, 0.5, 1.0]}
COLOURS = {"mean": (127.5, 63.75, 31.875), "std": (63.75, 127.5, 255.0)}

FORMS = {
    "coco": (
        {"size": {"shortest_edge": 800, "longest_edge": 1333}, "size_divisor": 0, **MEAN},
        PreprocessingConfig(shortest_edge=800, longest_edge=1333, size_divisor=1, **COLOURS),
    ),
    "ade, before 2023": (
        {"size": 512, "max_size": 2048, "size_divisibility": 32, **MEAN},
        PreprocessingConfig(shortest_edge=512, longest_edge=2048, size_divisor=32, **COLOURS),
    ),
    "none": (None, PreprocessingConfig(size_divisor=1)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_without_our_key_follows_the_authors(form, tmp_path):
    write_huggingface(tmp_path, tiny_checkpoint(TINY_MASKFORMER))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["unimask"] = {"norm": config["unimask"]["norm"]}  # theirs has frozen norms
    path.write_text(json.dumps(config))
    told, expected = FORMS[form]
    preprocessor = tmp_path / "preprocessor_config.json"
    preprocessor.unlink() if told is None else preprocessor.write_text(json.dumps(told))
    checkpoint = read_huggingface(tmp_path)
    assert checkpoint.preprocessing == expected
    assert checkpoint.postprocessing.uncertain_pixels == "winner"


def test_what_we_wrote_counts_before_the_family(tmp_path):
    checkpoint = tiny_checkpoint(TINY_MASKFORMER, uncertain_pixels="void", overlap_threshold=0.3)
    write_huggingface(tmp_path, checkpoint)
    again = read_huggingface(tmp_path)
    assert again.postprocessing == checkpoint.postprocessing
    assert again.preprocessing == checkpoint.preprocessing
