"""Compare networks of clips with the authors' modules of Mask2Former for video.

Needs their repositories, as `authors_network.py` does. Each network gets random weights there, is
pickled as they publish it, and is loaded here. In float32, our error and theirs are measured
against their network in float64.

    python -m benchmarks.agreement.authors_video MASK2FORMER DETECTRON2
"""

import copy
import pickle
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

import unimask
from benchmarks.agreement.authors_network import (
    SMALL,
    SMALL_RESNET,
    SMALL_SWIN,
    compare_names,
    randomise,
    stub_packages,
    their_network,
)
from unimask.config import SegmenterConfig
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.publication_tables import CLIPS

MAX_RATIO = 4.0
"""Largest accepted ratio of our median error to theirs."""

FRAMES, SIZE = 5, (96, 160)


def clip_config(config: SegmenterConfig) -> SegmenterConfig:
    """Return the configuration as a network of clips."""
    return replace(config, transformer_decoder=replace(config.transformer_decoder, clips=True))  # type: ignore[type-var]


def load_ours(theirs: nn.Module, year: int) -> unimask.Predictor:
    """Pickle the authors' network as they publish it, and load it."""
    model = {key: value.numpy() for key, value in theirs.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"ytvis_{year}" / "model_final.pkl"
        path.parent.mkdir()
        path.write_bytes(pickle.dumps({"model": model, "__author__": "the authors"}))
        return unimask.load(path, device="cpu")


@contextmanager
def kept_dtype() -> Iterator[None]:
    """Keep float64 within the block: the authors' pixel decoder converts its inputs to float32."""
    convert = Tensor.float
    Tensor.float = lambda self: self  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.float = convert  # type: ignore[method-assign]


def their_layers(network: nn.Module, clip: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return class and mask logits of every layer of the authors' network, for one clip."""
    output = network.sem_seg_head(network.backbone(clip))  # type: ignore[operator]
    layers = [*output["aux_outputs"], output]
    return [(layer["pred_logits"].double(), layer["pred_masks"].double()) for layer in layers]


def our_layers(network: nn.Module, clip: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return class and mask logits of every layer of our network, for one clip."""
    output = network(clip[None], auxiliary=True)
    layers = [*output.auxiliary, output]
    return [(layer.class_logits.double(), layer.mask_logits.double()) for layer in layers]


@torch.no_grad()
def compare(name: str, config: SegmenterConfig, norm: str, *, logits: bool) -> bool:
    """Print how names, and logits of every layer, of one network agree."""
    theirs = their_network(config, norm)
    fine = compare_names(name, theirs, config) == 0
    if not logits or not fine:
        return fine
    randomise(theirs)
    ours = load_ours(theirs, 2019 if "2021" not in name else 2021)
    assert ours.description.config.transformer_decoder == config.transformer_decoder
    clip = torch.randn(FRAMES, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with kept_dtype():
        exact = their_layers(copy.deepcopy(theirs).double(), clip.double())
    pairs = zip(exact, their_layers(theirs, clip), our_layers(ours.network, clip), strict=True)
    theirs_errors, our_errors, worst = [], [], 0.0
    for expected, their_layer, our_layer in pairs:
        for value, their_value, our_value in zip(expected, their_layer, our_layer, strict=True):
            theirs_errors.append(((their_value - value).abs() / value.abs().max()).flatten())
            our_errors.append(((our_value - value).abs() / value.abs().max()).flatten())
            worst = max(worst, float(our_errors[-1].max()))
    their_error, our_error = (float(torch.cat(e).median()) for e in (theirs_errors, our_errors))
    ratio = our_error / their_error
    print(
        f"{name:30} median error {our_error:.1e}, theirs {their_error:.1e}: ratio {ratio:.2f}; "
        f"greatest {worst:.1e}",
        flush=True,
    )
    return ratio <= MAX_RATIO


def main(mask2former: Path, detectron2: Path) -> None:
    """Compare small networks of odd sizes, and those that are published."""
    warnings.simplefilter("ignore")
    stub_packages(mask2former, detectron2)
    small = replace(SMALL, num_classes=40)
    backbones = {
        "small, bottlenecks": (SMALL_RESNET, "SyncBN"),
        "small, Swin, windows of 5": (SMALL_SWIN, ""),
    }
    fine = [
        compare(name, clip_config(replace(small, backbone=backbone)), norm, logits=True)
        for name, (backbone, norm) in backbones.items()
    ]
    for publication in CLIPS:
        for backbone in publication.backbones:
            config = MODEL_CONFIGS[f"mask2former-{backbone}-{publication.data}-instance"].network()
            fast = backbone in ("resnet50", "swin-tiny")
            fine.append(compare(f"{backbone}, {publication.data}", config, "FrozenBN", logits=fast))
    print(f"{len(fine)} networks, {fine.count(False)} differ")
    sys.exit(not all(fine))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
