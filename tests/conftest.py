"""Small labelled folders and small models that many tests share."""

import atexit
import json
import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from unimask.checkpoints import Checkpoint, ModelDescription, write_huggingface
from unimask.config import (
    DeformablePixelDecoderConfig,
    DetrPixelDecoderConfig,
    FaPNPixelDecoderConfig,
    FPNPixelDecoderConfig,
    JointDecoderConfig,
    MapEncoderConfig,
    MaskedDecoderConfig,
    NoPixelDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    ResNetConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
    TaskQueriesConfig,
    TextConfig,
    ViTConfig,
)
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.text.task_sentences import START_TOKEN

pytest_plugins = ["torchvision_operators", "skips"]

torch.set_num_threads(1)
# Measurements of this machine are neither read from the user's cache nor written to it.
os.environ["UNIMASK_CACHE"] = tempfile.mkdtemp(prefix="unimask-cache-")
atexit.register(shutil.rmtree, os.environ["UNIMASK_CACHE"], ignore_errors=True)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # Triton reads it at its first import, in any test
# The same cases in every run, so that only changes cause failures; `make fuzz-draws` has new ones.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("fuzz", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

DECODERS = {
    "pixel_decoder": DeformablePixelDecoderConfig(
        dim=32, mask_dim=32, num_layers=1, num_heads=4, ffn_dim=32
    ),
    "transformer_decoder": MaskedDecoderConfig(
        dim=32, num_queries=12, num_layers=3, num_heads=4, ffn_dim=32
    ),
}
TINY_RESNET = SegmenterConfig(
    backbone=ResNetConfig(
        block="basic",
        stem_channels=8,
        channels=(8, 16, 16, 32),
        depths=(1, 1, 1, 1),
        norm="group",
    ),
    num_classes=2,
    **DECODERS,
)
TINY_SWIN = SegmenterConfig(
    backbone=SwinConfig(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 2), window_size=3),
    num_classes=2,
    **DECODERS,
)
TINY_PROPOSALS = replace(
    TINY_RESNET,
    pixel_decoder=replace(DECODERS["pixel_decoder"], local_positions=True),
    transformer_decoder=replace(
        DECODERS["transformer_decoder"],
        num_queries=4, local_positions=True, proposals=0.2, max_proposals=100,
    ),
)  # fmt: skip
TINY_CLIPS = replace(
    TINY_RESNET, transformer_decoder=replace(DECODERS["transformer_decoder"], clips=True)
)
TINY_ONEFORMER = replace(
    TINY_RESNET,
    transformer_decoder=replace(
        DECODERS["transformer_decoder"], task_queries=TaskQueriesConfig(num_layers=1, dropout=0.0)
    ),
    text=TextConfig(dim=32, num_layers=1, context=4),
)
TINY_MASKFORMER = replace(
    TINY_RESNET,
    pixel_decoder=FPNPixelDecoderConfig(dim=32, mask_dim=32),
    transformer_decoder=StandardDecoderConfig(
        dim=32, num_queries=12, num_layers=3, num_heads=4, ffn_dim=32
    ),
)
TINY_ENCODER = replace(
    TINY_MASKFORMER,
    pixel_decoder=FPNPixelDecoderConfig(
        dim=24, mask_dim=32, encoder=MapEncoderConfig(num_layers=2, num_heads=2, ffn_dim=20)
    ),
)
TINY_FPN_MASKED = replace(TINY_ENCODER, transformer_decoder=DECODERS["transformer_decoder"])
TINY_DEFORMABLE_STANDARD = replace(TINY_MASKFORMER, pixel_decoder=DECODERS["pixel_decoder"])
TINY_FAPN = replace(
    TINY_MASKFORMER, pixel_decoder=FaPNPixelDecoderConfig(dim=32, mask_dim=32, num_groups=4)
)
TINY_EOMT = SegmenterConfig(
    backbone=ViTConfig(dim=32, depth=1, num_heads=4, ffn_dim=48, image_size=64),
    pixel_decoder=NoPixelDecoderConfig(),
    transformer_decoder=JointDecoderConfig(num_queries=12, num_layers=2),
    num_classes=2,
)
TINY_DETR = replace(
    TINY_RESNET,
    pixel_decoder=DetrPixelDecoderConfig(
        dim=32, encoder=MapEncoderConfig(num_layers=1, num_heads=8, ffn_dim=32)
    ),
    transformer_decoder=StandardDecoderConfig(
        dim=32, num_queries=12, num_layers=3, num_heads=8, ffn_dim=32
    ),
)
TINY_PER_PIXEL = replace(TINY_MASKFORMER, transformer_decoder=PerPixelConfig())
TINY_PER_PIXEL_PLUS = replace(
    TINY_MASKFORMER,
    transformer_decoder=PerPixelPlusConfig(dim=32, num_layers=3, num_heads=4, ffn_dim=32),
)
TINY_DEEPLAB = replace(
    TINY_MASKFORMER,
    backbone=replace(
        TINY_RESNET.backbone, stem="deeplab", depths=(1, 1, 1, 3), last_dilations=(1, 2, 4)
    ),
)
NUCLEI = LabelSet(("nucleus", "background"), (True, False))


def draw_discs(seed: int, size: tuple[int, int] = (96, 128), count: int = 6):
    """Draw a grey image of bright discs on a dark background, and their id map."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    ids = np.zeros(size, np.uint16)
    for number in range(1, count + 1):
        centre = random.uniform((8, 8), (size[0] - 8, size[1] - 8))
        disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < random.uniform(5, 12) ** 2
        ids[disc & (ids == 0)] = number
    image = np.where(ids[..., None] > 0, 190, 40) + random.normal(0, 8, (*size, 3))
    return np.clip(image, 0, 255).astype(np.uint8), ids


def write_discs(folder: Path, counts: dict[str, int], *, objects: int = 6) -> Path:
    """Write a dataset of discs with the given number of images per split."""
    seed = 0
    for split, images in counts.items():
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(images):
            image, ids = draw_discs(seed, count=objects)
            Image.fromarray(image).save(folder / split / "images" / f"{index}.png")
            Image.fromarray(ids).save(folder / split / "masks" / f"{index}.png")
            seed += 1
    return folder


@pytest.fixture
def drawings():
    """Enable curves and sample images of training runs in this test."""


@pytest.fixture(autouse=True)
def skip_drawings(request, monkeypatch):
    """Disable drawing in training runs unless the test uses `drawings`: it dominates short runs."""
    loop = sys.modules.get("unimask.training.loop")
    if loop is not None and "drawings" not in request.fixturenames:
        monkeypatch.setattr(loop, "draw_curves", lambda rows, target: None)
        monkeypatch.setattr(loop, "draw_samples", lambda *arguments: None)


@pytest.fixture(scope="session")
def discs(tmp_path_factory) -> Path:
    """Dataset of discs: six training and two validation images."""
    return write_discs(tmp_path_factory.mktemp("discs"), {"train": 6, "val": 2})


def tiny_checkpoint(config: SegmenterConfig = TINY_RESNET, seed: int = 0, **rules) -> Checkpoint:
    """Build a small network with random weights that predicts several segments."""
    torch.manual_seed(seed)
    network = build_segmenter(config)
    if not isinstance(config.transformer_decoder, PerPixelPlusConfig):  # whose queries are classes
        with torch.no_grad():
            network.transformer_decoder.head.class_embed.weight.mul_(8)
            network.transformer_decoder.head.class_embed.bias.copy_(torch.tensor([2.0, 1.0, -2.0]))
            if isinstance(config.pixel_decoder, DetrPixelDecoderConfig):
                distinguish_queries(network.transformer_decoder)
                rules = {"uncertain_pixels": "logits"} | rules
    description = ModelDescription(
        config=config,
        labels=NUCLEI,
        tasks=("panoptic", "instance", "semantic"),
        preprocessing=PreprocessingConfig(shortest_edge=96, longest_edge=160),
        postprocessing=PostprocessingConfig(
            **{"object_threshold": 0.4, "overlap_threshold": 0.1} | rules
        ),
    )
    return Checkpoint(description, network.state_dict())


def distinguish_queries(decoder) -> None:
    """Amplify what distinguishes the queries of an untrained DETR, which hardly differ."""
    decoder.query_positions.weight.mul_(6)
    for layer in decoder.layers:
        layer.cross_attn.in_proj_weight.mul_(3)
    first = decoder.head.convs[0].weight
    first[:, -decoder.head.num_heads :].mul_(300)  # attention maps, whose sum over pixels is 1
    decoder.head.query.weight.mul_(4)
    decoder.head.output.weight.mul_(10)


def with_description(checkpoint: Checkpoint, **changes) -> Checkpoint:
    """Replace values in a checkpoint's description, such as its labels."""
    return replace(checkpoint, description=replace(checkpoint.description, **changes))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Model folder with a small random network."""
    folder = tmp_path_factory.mktemp("tiny")
    write_huggingface(folder, tiny_checkpoint())
    return folder


@pytest.fixture(scope="session")
def tiny_clip_model(tmp_path_factory) -> Path:
    """Model folder with a small random network that segments clips."""
    folder = tmp_path_factory.mktemp("tiny-clips")
    checkpoint = tiny_checkpoint(TINY_CLIPS, seed=4, top_k=10)
    write_huggingface(folder, with_description(checkpoint, tasks=("instance",)))
    return folder


@pytest.fixture(scope="session")
def two_class_model(tmp_path_factory) -> Path:
    """Model folder with a small random network that predicts stuff and things in most images."""
    checkpoint = tiny_checkpoint(seed=3)
    for name, tensor in checkpoint.state.items():
        if name.endswith("class_embed.bias"):
            tensor.copy_(torch.tensor([1.0, 1.0, -1.0]))
    labels = LabelSet(("tissue", "cell"), (False, True))
    folder = tmp_path_factory.mktemp("two_classes")
    write_huggingface(folder, with_description(checkpoint, labels=labels))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real labelled images."""
    folder = Path(os.environ.get("UNIMASK_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no labelled images at {folder}; set UNIMASK_DATA")
    return folder


@pytest.fixture(scope="session")
def geo_data(real_data) -> Path:
    """Folder of real rasters."""
    return real_data / "geo"


@pytest.fixture(scope="session")
def clip_files(tmp_path_factory):
    """Byte-level vocabulary of CLIP's size with a few of its merges."""
    folder = tmp_path_factory.mktemp("clip")
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    merges = [("t", "a"), ("s", "k</w>"), ("ta", "sk</w>"), ("t", "h"), ("th", "e</w>")]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(m) for m in merges)]
    words += [f"filler{index}" for index in range(START_TOKEN - len(words))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "\n".join(" ".join(merge) for merge in merges)
    )
    return folder, words


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `unimask ARGUMENTS` in this process; return exit code, stdout and stderr."""
    from unimask.cli.main import main

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets its own
        monkeypatch.setattr(sys, "argv", ["unimask", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def check_error():
    """Check that a command failed with exit code 2 and one line that contains `parts`."""

    def check(code, err, *parts) -> None:
        assert code == 2
        assert err.startswith("unimask: error: ") and err.count("\n") == 1, err
        for part in parts:
            assert part in err, err

    return check
