"""Compare networks of clips with the authors' modules of Mask2Former for video.

Needs their repositories, as `authors_network.py` does. Each network gets random weights there, is
pickled as they publish it, and is loaded here. In float32, our error and theirs are measured
against their network in float64.

    python -m benchmarks.agreement.authors_video MASK2FORMER DETECTRON2
"""

import ast
import copy
import pickle
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import unimask
from benchmarks.agreement.authors_network import (
    SMALL,
    SMALL_RESNET,
    SMALL_SWIN,
    compare_names,
    randomise,
    stub,
    stub_packages,
    their_network,
)
from unimask.config import CriterionConfig, SegmenterConfig
from unimask.losses import Criterion
from unimask.losses.point_sampler import PointCandidates, PointSampler
from unimask.outputs import SegmenterOutput, Target
from unimask.published.model_configs import MODEL_CONFIGS
from unimask.published.publication_tables import CLIPS

MAX_RATIO = 4.0
"""Largest accepted ratio of our median error to theirs."""

FRAMES, SIZE, POINTS = 5, (96, 160), 60


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
def without_float32_conversion() -> Iterator[None]:
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


def their_function(path: Path, name: str, **context: Any) -> Callable[..., Any]:
    """Return a function or method of a file of the authors, without importing the file."""
    nodes: list[ast.stmt] = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    code = compile(ast.Module(nodes[:1], []), str(path), "exec")
    space = {"torch": torch, "F": F, **context}
    exec(code, space)
    return space[name]


@torch.no_grad()
def compare_rule(mask2former: Path) -> bool:
    """Print whether tracks of a video equal those of the authors' `inference_video`."""
    path = mask2former / "mask2former_video/video_maskformer_model.py"
    rule = their_function(path, "inference_video")
    config = clip_config(replace(SMALL, num_classes=40))
    theirs = their_network(config, "SyncBN")
    randomise(theirs)
    ours = load_ours(theirs, 2019)
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (90, 130, 3), dtype=np.uint8) for _ in range(FRAMES)]
    items = [ours.preprocess(frame) for frame in frames]
    output = ours.network(torch.stack([item.pixel_values for item in items])[None])
    padded, resized, original = items[0][1:]
    masks = F.interpolate(output.mask_logits[0], padded, mode="bilinear", align_corners=False)
    queries, classes = masks.shape[0], config.num_classes
    head = types.SimpleNamespace(num_classes=classes)
    model = types.SimpleNamespace(sem_seg_head=head, device="cpu", num_queries=queries)
    expected = rule(model, output.class_logits[0], masks, resized, *original)
    order = np.argsort(expected["pred_scores"])[::-1].tolist()
    different = 0
    tracked = list(ours.track(iter(frames), threshold=0.0))
    for place, frame in enumerate(tracked):
        found = {s.track_id: s for s in frame.result.segments}
        for track, rank in enumerate(order, start=1):
            mask = expected["pred_masks"][rank][place].numpy()
            segment = found.get(track)
            if segment is None:
                different += int(mask.sum())
                continue
            same = segment.label_id == expected["pred_labels"][rank]
            same = same and abs(segment.score - expected["pred_scores"][rank]) < 1e-6
            different += int((segment.mask != mask).sum()) if same else mask.size
    pixels = FRAMES * len(order) * original[0] * original[1]
    inside = sum(int(mask.sum()) for mask in expected["pred_masks"])
    print(
        f"rule for videos: {different} of {pixels} pixels of {len(order)} tracks differ, of which "
        f"{inside} lie in masks"
    )
    return different <= 1e-5 * pixels


def compare_losses(mask2former: Path) -> bool:
    """Print how the losses of two clips agree with the authors' criterion at fixed points."""
    folder = "mask2former_video.modeling"
    stub("detectron2.projects", Path())
    stub("detectron2.projects.point_rend", Path())
    stub("detectron2.projects.point_rend.point_features", **their_point_functions())
    stub("mask2former.utils", Path())
    stub("mask2former.utils.misc", is_dist_avail_and_initialized=lambda: False)
    sys.modules["detectron2.utils.comm"].get_world_size = lambda: 1  # type: ignore[attr-defined]
    matcher = import_module(f"{folder}.matcher").VideoHungarianMatcher(2.0, 5.0, 5.0, POINTS)
    weights = {"loss_ce": 2.0, "loss_mask": 5.0, "loss_dice": 5.0}
    criterion = import_module(f"{folder}.criterion").VideoSetCriterion(
        7, matcher, weights, 0.1, ["labels", "masks"], POINTS, 1.0, 0.0
    )
    random = torch.Generator().manual_seed(0)
    points = torch.rand(POINTS, 2, generator=random)
    classes = torch.randn(2, 6, 8, generator=random)
    masks = torch.randn(2, 6, 3, 20, 28, generator=random)
    truth = [(torch.rand(n, 3, 80, 112, generator=random) < 0.4) for n in (2, 4)]
    labels = [torch.randint(7, (n,), generator=random) for n in (2, 4)]
    targets = [
        {"labels": own, "masks": each.float()} for own, each in zip(labels, truth, strict=True)
    ]
    draw, torch.rand = torch.rand, lambda n, p, two, **_: points.expand(n, p, two)  # type: ignore[assignment]
    try:
        theirs = criterion({"pred_logits": classes, "pred_masks": masks}, targets)
    finally:
        torch.rand = draw
    frames = [
        Target(own, each[:, frame])
        for own, each in zip(labels, truth, strict=True)
        for frame in range(3)
    ]
    ours = Criterion(7, CriterionConfig(num_points=POINTS))(
        SegmenterOutput(classes, masks), frames, sampler=FixedPoints(points)
    )
    pairs = {
        "loss_ce": ours.class_loss, "loss_mask": ours.mask_loss, "loss_dice": ours.dice_loss,
    }  # fmt: skip
    worst = max(float((theirs[k] - value).abs() / theirs[k].abs()) for k, value in pairs.items())
    print(f"losses of clips agree to {worst:.1e}")
    return worst < 1e-5


def their_point_functions() -> dict[str, Any]:
    """Return the functions of detectron2's PointRend that the authors' losses call."""

    def point_sample(maps: Tensor, points: Tensor, **options: Any) -> Tensor:
        return F.grid_sample(maps, 2 * points[:, :, None] - 1, **options)[..., 0]

    def draw_points(logits: Tensor, _: object, count: int, *__: object) -> Tensor:
        return torch.rand(len(logits), count, 2)

    return {
        "point_sample": point_sample,
        "get_uncertain_point_coords_with_randomness": draw_points,
    }


class SamePoints(PointCandidates):
    """Candidates of which every mask selects the same points."""

    def select(self, logits: Tensor) -> Tensor:
        """Return the same points for every mask."""
        return self.others.expand(len(logits), -1, -1)


class FixedPoints(PointSampler):
    """Sampler of the same points for every image and mask."""

    def __init__(self, points: Tensor) -> None:
        self.points = points

    def matching_points(self, device: torch.device) -> Tensor:
        """Return the points."""
        return self.points

    def candidates(self, known: Tensor | None, device: torch.device) -> PointCandidates:
        """Return the points as those that every mask selects."""
        return SamePoints(self.points, None, 0, self.points)


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
    with without_float32_conversion():
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
            # Those of 2021 have the same architectures.
            fast = backbone in ("resnet50", "swin-tiny") and publication is CLIPS[0]
            fine.append(compare(f"{backbone}, {publication.data}", config, "FrozenBN", logits=fast))
    print(f"{len(fine)} networks, {fine.count(False)} differ")
    fine += [compare_rule(mask2former), compare_losses(mask2former)]
    sys.exit(not all(fine))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
