"""Slices of volumes are converted to images and label maps."""

import importlib.util

import numpy as np
import pytest
from PIL import Image
from volume_datasets import write_nnunet

import unimask
from unimask.datasets import open_dataset

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="needs nibabel"),
]


def true_map(sample):
    return np.append(-1, sample.label_ids)[sample.id_maps[0]]


def test_slices_become_images_with_the_same_labels(tmp_path):
    """Converted slices look as they do in training, with the window of the training cases."""
    source, out = write_nnunet(tmp_path / "source"), tmp_path / "out"
    unimask.convert(source, out, to="semantic")
    for split in ("train", "val"):
        slices, images = open_dataset(source, split), open_dataset(out, split)
        assert images.labels.names == slices.labels.names == ("background", "tissue", "bright")
        assert sorted(path.stem for path in images.paths) == sorted(p.stem for p in slices.paths)
        by_stem = {path.stem: index for index, path in enumerate(images.paths)}
        for index, path in enumerate(slices.paths):
            expected, found = slices[index], images[by_stem[path.stem]]
            assert (true_map(found) == true_map(expected)).all()
    values = np.stack([Image.open(path) for path in (out / "train" / "images").iterdir()])
    assert values.dtype == np.uint8 and values.min() < 50 and values.max() > 200
