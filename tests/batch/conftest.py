"""Small images, and a run of `unimask batch` on them."""

from pathlib import Path

import pytest
from batch_runs import NUM_IMAGES, run_batch
from conftest import TINY_SWIN, draw_discs, tiny_checkpoint
from PIL import Image

from unimask.checkpoints import write_huggingface


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Folder with images in two subfolders."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(NUM_IMAGES):
        path = folder / "ab"[seed % 2] / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw_discs(seed, (48, 64), 3)[0]).save(path)
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Folder of a small random network that finds several objects."""
    folder = tmp_path_factory.mktemp("model")
    write_huggingface(folder, tiny_checkpoint(TINY_SWIN, seed=2))
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, images, model) -> Path:
    """Output of a run of all images."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run_batch(images, out, model) == [0, 1, 2, 3]
    return out
