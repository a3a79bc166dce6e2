"""Compare DETR with the authors' own code: networks, tensor names, panoptic rule, and losses.

Needs their repository (https://github.com/facebookresearch/detr) and torchvision. Their networks
with random weights are saved as they save them and loaded here: tensor names of the published
networks, and logits, boxes and masks of smaller ones. Then their panoptic rule and ours get the
same generated predictions, and their losses and ours the same predictions and ground truth, with
padding and with images without objects.

    python -m benchmarks.agreement.authors_detr DETR
"""

import io
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.agreement.authors_network import compare_names, randomise, stub
from unimask.checkpoints.authors.read import read_authors
from unimask.config import BoxCriterionConfig
from unimask.formats.panoptic_png import decode_ids, encode_ids
from unimask.label_sets import known_labels
from unimask.losses import BoxCriterion
from unimask.losses.boxes import mask_boxes
from unimask.modeling.build import build_segmenter
from unimask.outputs import BoxPrediction, SegmenterOutput, Target
from unimask.presets import preset
from unimask.processing import postprocess

CLASSES, LAST_ID, QUERIES, LAYERS = 250, 200, 30, 3
SIZES = (
    ((96, 128), (96, 128)), ((101, 75), (427, 301)), ((64, 64), (33, 47)), ((50, 201), (50, 201)),
    ((200, 151), (640, 480)),
)  # fmt: skip
"""Sizes of network inputs, and of the images that they were resized from."""

OBJECTS = ((3, 2), (0, 4), (0, 0), (1,))
TOLERANCE = 1e-5
LIBRARIES: list[torch.library.Library] = []
"""Declared operators; they are removed when this reference is."""

TERMS = ("loss_ce", "loss_bbox", "loss_giou", "loss_mask", "loss_dice")


def import_torchvision() -> None:
    """Import torchvision; beside a CPU build of PyTorch, declare the operators that it lacks."""
    try:
        import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        LIBRARIES.append(library)
        import_module("torchvision")
    # Their code calls a function that torchvision has removed; it was this one.
    import_module("torchvision.ops.misc").interpolate = F.interpolate  # type: ignore[attr-defined]


def prepare(repository: Path) -> None:
    """Make the authors' modules importable, and prevent downloads of weights."""
    import_torchvision()
    stub("panopticapi", Path())
    stub("panopticapi.utils", id2rgb=encode_ids, rgb2id=decode_ids)
    sys.path.insert(0, str(repository))
    import_module("models.backbone").is_main_process = lambda: False  # type: ignore[attr-defined]


def their_parts(name: str, *, small: bool) -> tuple[Any, Any, Any]:
    """Build the authors' network, criterion and panoptic rule as their `main.py` does."""
    arguments = SimpleNamespace(
        dataset_file="coco_panoptic", device="cpu" if small else "meta", masks=True,
        frozen_weights=None,
        backbone=name.split("-")[1], dilation=name.endswith("dc5"), lr_backbone=1e-5,
        position_embedding="sine", hidden_dim=256, nheads=8, dropout=0.1, pre_norm=False,
        enc_layers=2 if small else 6, dec_layers=LAYERS if small else 6, aux_loss=True,
        dim_feedforward=128 if small else 2048, num_queries=QUERIES if small else 100,
        set_cost_class=1, set_cost_bbox=5, set_cost_giou=2, eos_coef=0.1,
        bbox_loss_coef=5, giou_loss_coef=2, mask_loss_coef=1, dice_loss_coef=1,
    )  # fmt: skip
    network, criterion, rules = import_module("models.detr").build(arguments)
    return network.eval(), criterion, rules["panoptic"]


def relative(found: Tensor, expected: Tensor) -> float:
    """Return the greatest difference relative to the greatest value."""
    return float((found - expected).abs().max() / expected.abs().max())


def compare_network(name: str) -> float:
    """Return the greatest relative difference of logits, boxes and masks of a small network."""
    theirs, _, _ = their_parts(name, small=True)
    randomise(theirs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pth"
        torch.save({"model": theirs.state_dict()}, path)
        checkpoint, _ = read_authors(path)
    ours = build_segmenter(checkpoint.description.config).eval()
    ours.load_state_dict(checkpoint.state)
    worst, deviations = 0.0, []
    for size, _ in SIZES[:3]:
        images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
        expected, found = theirs(images), ours(images, auxiliary=True)
        layers = [*expected["aux_outputs"], expected]
        pairs = [(found.mask_logits, expected["pred_masks"])]
        for layer, their_layer in zip(found.boxes, layers, strict=True):
            pairs += zip(
                layer, (their_layer["pred_logits"], their_layer["pred_boxes"]), strict=True
            )
        deviations.append(float(expected["pred_masks"].std()))
        assert deviations[-1] > 0.01, "logits hardly differ, or are not finite"
        worst = max(worst, *(relative(*pair) for pair in pairs))
    print(
        f"{name:18} small: logits and boxes of {LAYERS} layers, and masks, agree to "
        f"{worst:.1e}; deviation of mask logits {min(deviations):.1f}"
    )
    return worst


def generate(size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """Generate class logits, most of them certain, and smooth masks at a quarter of the size."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([1, 2, 44, 90, 92, 149, 149, 200])
    classes = torch.randn(QUERIES, CLASSES + 1, generator=generator)
    classes[:, LAST_ID + 1 : CLASSES] = -10.0  # ids that their table of kinds lacks
    chosen = ids[torch.randint(len(ids), (QUERIES,), generator=generator)]
    certainty = 5 + 10 * torch.rand(QUERIES, generator=generator)
    classes[torch.arange(QUERIES), chosen] = certainty
    coarse = torch.randn(1, QUERIES, 5, 5, generator=generator)
    masks = 6 * F.interpolate(coarse, tuple(-(-side // 4) for side in size), mode="bicubic")[0]
    return classes, masks.contiguous()


def compare_rule(rule: Any, size: tuple[int, int], original: tuple[int, int], seed: int) -> int:
    """Return the number of pixels that belong to another segment or class."""
    classes, masks = generate(size, seed)
    boxes = torch.full((1, QUERIES, 4), 0.5)
    outputs = {"pred_logits": classes[None], "pred_masks": masks[None], "pred_boxes": boxes}
    (theirs,) = rule(outputs, [size], [original])
    png = np.asarray(Image.open(io.BytesIO(theirs["png_string"])))
    expected = decode_ids(png)
    labels = known_labels("coco_detr")
    result = postprocess(
        classes, masks, task="panoptic", labels=labels.names, is_thing=labels.is_thing,
        padded_size=size, input_size=size, original_size=original, object_threshold=0.85,
        uncertain_pixels="logits",
    )  # fmt: skip
    differing = np.zeros(original, bool)
    for segment, info in zip(result.segments, theirs["segments_info"], strict=True):
        assert (segment.label_id, segment.is_thing) == (info["category_id"], info["isthing"])
        differing |= segment.mask != (expected == info["id"])
    kinds = [info["isthing"] for info in theirs["segments_info"]]
    print(
        f"input {size}, image {original}: {sum(kinds)} things and {len(kinds) - sum(kinds)} stuff, "
        f"{int(differing.sum())} of {differing.size} pixels differ"
    )
    return int(differing.sum())


def draw_objects(counts: tuple[int, ...], sizes: list[tuple[int, int]]) -> list[Target]:
    """Draw images of different sizes with random rectangles, padded to the greatest size."""
    generator = torch.Generator().manual_seed(sum(counts))
    height, width = (max(side) for side in zip(*sizes, strict=True))
    targets = []
    for count, (rows, columns) in zip(counts, sizes, strict=True):
        masks = torch.zeros(count, height, width, dtype=torch.bool)
        for mask in masks:
            top, left = (
                int(torch.randint(side // 2, (), generator=generator)) for side in (rows, columns)
            )
            mask[top : min(top + 20, rows), left : min(left + 26, columns)] = True
        targets.append(Target(torch.randint(LAST_ID, (count,), generator=generator), masks))
    return targets


def compare_losses(criterion: Any, counts: tuple[int, ...]) -> float:
    """Return the greatest relative difference of losses and of their gradients."""
    generator = torch.Generator().manual_seed(7)
    images = len(counts)
    sizes = [(64 - 12 * index, 80 - 8 * index) for index in range(images)]
    targets = draw_objects(counts, sizes)
    layers = [
        BoxPrediction(
            torch.randn(images, QUERIES, CLASSES + 1, generator=generator).requires_grad_(),
            torch.rand(images, QUERIES, 4, generator=generator).requires_grad_(),
        )
        for _ in range(LAYERS)
    ]
    masks = torch.randn(images, QUERIES, 16, 20, generator=generator).requires_grad_()
    their_layers = [{"pred_logits": x.class_logits, "pred_boxes": x.boxes} for x in layers]
    true = []
    for target, (rows, columns) in zip(targets, sizes, strict=True):
        boxes = mask_boxes(target.masks)
        # Their masks end where the image does, and are padded by their criterion.
        cropped = target.masks[:, :rows, :columns].float()
        true.append({"labels": target.labels, "boxes": boxes, "masks": cropped})
    theirs = criterion(
        {**their_layers[-1], "pred_masks": masks, "aux_outputs": their_layers[:-1]}, true
    )
    weighted = [
        theirs[name] * weight for name, weight in criterion.weight_dict.items() if name in theirs
    ]
    total = torch.stack(weighted).sum()
    found = BoxCriterion(CLASSES, BoxCriterionConfig())(
        SegmenterOutput(layers[-1].class_logits, masks, boxes=tuple(layers)), targets
    )
    terms = (found.class_loss, found.box_loss, found.giou_loss, found.mask_loss, found.dice_loss)
    pairs = [(found.total, total), *zip(terms, map(theirs.get, TERMS), strict=True)]
    inputs = [*(value for layer in layers for value in layer), masks]
    gradients = [torch.autograd.grad(loss, inputs) for loss in (found.total, total)]
    pairs += zip(*gradients, strict=True)
    worst = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-3)) for a, b in pairs)
    print(
        f"{counts} objects per image: total loss {float(total):.4f}; total, terms and gradients "
        f"agree to {worst:.1e}"
    )
    return worst


def main(repository: Path) -> None:
    """Compare everything, and print the greatest differences."""
    warnings.simplefilter("ignore")
    prepare(repository)
    names = ("detr-resnet50", "detr-resnet50-dc5", "detr-resnet101")
    for name in names:
        with torch.device("meta"):
            theirs, _, _ = their_parts(name, small=False)
        assert not compare_names(name, theirs, preset(name, CLASSES))
    with torch.no_grad():
        assert max(compare_network(name) for name in names[:2]) < TOLERANCE
    _, criterion, rule = their_parts("detr-resnet50", small=True)
    different = sum(compare_rule(rule, *sizes, seed) for seed, sizes in enumerate(SIZES))
    worst = max(compare_losses(criterion, counts) for counts in OBJECTS)
    print(f"{different} pixels differ; losses differ by at most {worst:.1e}")
    sys.exit(different > 0 or worst > TOLERANCE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
