"""Compare EoMT with the authors' own code: networks, tensor names, and inference rules.

Needs their repository (https://github.com/tue-mps/eomt), timm, and a torchvision that fits this
PyTorch. Their network on timm's DINOv2, small and with random weights, is saved as they save it and
loaded here. Then their evaluation steps and ours get the same generated logits for images of many
sizes: class scores of windows, panoptic maps, and instances with their scores.

    python -m benchmarks.agreement.authors_eomt EOMT
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.agreement.authors_network import stub
from unimask.checkpoints.authors.read import read_authors
from unimask.config import PreprocessingConfig
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.processing import postprocess
from unimask.processing.preprocess import Preprocessed, preprocess
from unimask.processing.windowed import WindowScores, cut_windows, list_windows

SIDE, CLASSES, THINGS, QUERIES = 64, 6, 4, 12
SIZES = (
    (64, 64), (48, 64), (100, 37), (37, 100), (129, 128), (128, 129), (50, 301), (301, 50),
    (721, 1280), (90, 91), (33, 17),
)  # fmt: skip
VITS = {
    "small": ("vit_small_patch14_reg4_dinov2", {"embed_dim": 128, "num_heads": 2, "depth": 4}),
    "giant": ("vit_giant_patch14_reg4_dinov2", {"embed_dim": 128, "num_heads": 2, "depth": 5}),
}
TOLERANCE = 1e-5


def stub_packages(repository: Path) -> None:
    """Make the authors' modules importable without the packages that only training needs."""
    sys.path.insert(0, str(repository))
    stub("lightning", Path(), LightningModule=nn.Module)
    stub("lightning.fabric", Path())
    stub("lightning.fabric.utilities", rank_zero_info=print)
    for name in ("", ".classification", ".detection", ".functional", ".functional.detection"):
        stub(f"torchmetrics{name}", Path(), MulticlassJaccardIndex=None, PanopticQuality=None,
             MeanAveragePrecision=None)  # fmt: skip
    stub("torchmetrics.functional.detection._panoptic_quality_common", _prepocess_inputs=None,
         _Color=None, _get_color_areas=None, _calculate_iou=None)  # fmt: skip
    stub("wandb")
    stub("training", repository / "training")
    stub("training.mask_classification_loss", MaskClassificationLoss=None)


def their_network(name: str, options: dict[str, Any]) -> Any:
    """Build their network on a small DINOv2 of timm, with random weights everywhere."""
    create = import_module("timm").create_model
    encoder: Any = nn.Module()
    encoder.backbone = create(
        name, pretrained=False, img_size=(SIDE, SIDE), patch_size=16, num_classes=0, **options
    )
    encoder.register_buffer("pixel_mean", torch.zeros(1, 3, 1, 1))
    encoder.register_buffer("pixel_std", torch.ones(1, 3, 1, 1))
    network = import_module("models.eomt").EoMT(encoder, CLASSES, QUERIES, num_blocks=2).eval()
    generator = torch.Generator().manual_seed(0)
    for key, tensor in network.named_parameters():
        noise = torch.randn(tensor.shape, generator=generator)
        scale = 0.6 / tensor[0].numel() ** 0.5 if tensor.ndim > 1 and "embed" not in key else 0.5
        tensor.copy_(scale * noise + (1 if "norm" in key and key.endswith("weight") else 0))
    return network


def compare_networks() -> float:
    """Return the greatest difference of logits relative to the greatest logit."""
    worst = 0.0
    for title, (name, options) in VITS.items():
        for masked in (0.0, 1.0):
            theirs = their_network(name, options)
            theirs.attn_mask_probs.fill_(masked)
            state = {f"network.{key}": value for key, value in theirs.state_dict().items()}
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "pytorch_model.bin"
                torch.save(state, path)
                checkpoint, _ = read_authors(path)
            ours = build_segmenter(checkpoint.description.config).eval()
            ours.load_state_dict(checkpoint.state)
            images = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
            masks, classes = theirs(images)
            output = ours(images, auxiliary=True)
            layers = [*output.auxiliary, output]
            difference = max(
                float((found - expected).abs().max() / expected.abs().max())
                for layer, *pair in zip(layers, masks, classes, strict=True)
                for found, expected in zip(
                    (layer.mask_logits, layer.class_logits), pair, strict=True
                )
            )
            spread = float(masks[-1].std())
            assert spread > 0.01, "logits hardly differ, or are not finite"
            worst = max(worst, difference)
            print(
                f"network {title}, masked attention {masked:.0f}: {difference:.1e} of the greatest "
                f"logit; deviation of mask logits {spread:.1f}"
            )
    return worst


class Generated:
    """Generated logits of a batch in place of a network, which also records its input."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.images = torch.empty(0)

    def __call__(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return smooth masks at a quarter of the size, and mostly confident classes."""
        self.images, count = images, len(images)
        coarse = torch.randn(count, QUERIES, 4, 4, generator=self.generator)
        size = SIDE // 4, SIDE // 4
        self.masks = 6 * F.interpolate(coarse, size, mode="bicubic")
        self.classes = 4 * torch.randn(count, QUERIES, CLASSES + 1, generator=self.generator)
        return [self.masks], [self.classes]


def evaluation(task: str, seed: int) -> tuple[Any, Generated, dict[str, Any]]:
    """Return the authors' evaluation module of a task with generated logits, and its results."""
    kind = getattr(
        import_module(f"training.mask_classification_{task}"), f"MaskClassification{task.title()}"
    )
    module, results = kind.__new__(kind), {}
    nn.Module.__init__(module)
    generated = Generated(seed)
    module.forward = generated
    module.img_size, module.num_classes, module.ignore_idx = (SIDE, SIDE), CLASSES, 255
    module.stuff_classes = list(range(THINGS, CLASSES))
    module.mask_thresh = module.overlap_thresh = 0.8
    module.eval_top_k_instances, module.device = 20, torch.device("cpu")
    for name in ("semantic", "panoptic", "instance"):
        keep = lambda found, *_: results.update(found=found)  # noqa: E731
        setattr(module, f"update_metrics_{name}", keep)
    return module, generated, results


def prepare(
    image: np.ndarray, square: Literal["pad", "windows"]
) -> tuple[Preprocessed, PreprocessingConfig]:
    """Return our input and its rules; the values stay between 0 and 255 as theirs."""
    config = PreprocessingConfig(
        fixed_size=(SIDE, SIDE),
        square=square,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    return preprocess(image, config), config


def run_theirs(task: str, seed: int, image: np.ndarray) -> tuple[Generated, Any]:
    """Run the authors' evaluation of an image; return the generated logits and their result."""
    module, generated, results = evaluation(task, seed)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    size = image.shape[:2]
    target = {"masks": torch.zeros(1, *size, dtype=torch.bool), "labels": torch.zeros(1).long(),
              "is_crowd": torch.zeros(1, dtype=torch.bool)}  # fmt: skip
    module.eval_step(([tensor], [target]), 1, "val")
    return generated, results["found"][0]


def compare_semantic(image: np.ndarray, seed: int) -> tuple[float, int]:
    """Return the greatest difference of class scores, and the number of other classes."""
    generated, theirs = run_theirs("semantic", seed, image)
    item, config = prepare(image, "windows")
    windows = list_windows(item.input_size, config)
    assert torch.equal(cut_windows(item.pixel_values[None], windows), generated.images.float())
    scores = WindowScores(generated.classes, generated.masks, windows, item.input_size)
    ours = torch.cat([rows for _, rows in scores.resized(item.original_size)], dim=1)
    return float((ours - theirs).abs().max()), int((ours.argmax(0) != theirs.argmax(0)).sum())


def our_result(image: np.ndarray, generated: Generated, task: str) -> Any:
    """Return our result of the generated logits, after checking our input against theirs."""
    item, _ = prepare(image, "pad")
    assert torch.equal(item.pixel_values, generated.images[0].float())
    things = tuple(task == "instance" or index < THINGS for index in range(CLASSES))
    labels = LabelSet(tuple("abcdef"), things)
    return postprocess(
        generated.classes[0], generated.masks[0], task=task, labels=labels.names,  # type: ignore[arg-type]
        is_thing=labels.is_thing, padded_size=item.padded_size, input_size=item.input_size,
        original_size=item.original_size, top_k=20,
    )  # fmt: skip


def compare_panoptic(image: np.ndarray, seed: int) -> int:
    """Return the number of pixels with another class or another segment."""
    generated, theirs = run_theirs("panoptic", seed, image)
    result = our_result(image, generated, "panoptic")
    classes = np.full(result.segmentation.shape, CLASSES)
    for segment in result.segments:
        classes[result.segmentation == segment.id] = segment.label_id
    differing = (classes != theirs[..., 0].numpy()) | (
        result.segmentation - 1 != theirs[..., 1].numpy()
    )
    return int(differing.sum())


def compare_instances(image: np.ndarray, seed: int) -> tuple[float, int]:
    """Return the greatest difference of scores, and the number of pixels of other masks."""
    generated, theirs = run_theirs("instance", seed, image)
    result = our_result(image, generated, "instance")
    order = theirs["scores"].argsort(descending=True).tolist()
    order = [index for index in order if theirs["masks"][index].any()]
    assert [segment.label_id for segment in result.segments] == theirs["labels"][order].tolist()
    scores = torch.tensor([segment.score for segment in result.segments])
    masks = torch.from_numpy(np.stack(list(result.masks)))
    difference = float((scores - theirs["scores"][order]).abs().max())
    return difference, int((masks != theirs["masks"][order]).sum())


@torch.no_grad()
def main(repository: Path) -> None:
    """Compare everything, and print the greatest differences."""
    stub_packages(repository)
    assert compare_networks() < TOLERANCE
    for seed, size in enumerate(SIZES):
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        scores, classes = compare_semantic(image, seed)
        segments = compare_panoptic(image, seed)
        masks, others = compare_instances(image, seed)
        print(
            f"image {size}: windows: scores differ by {scores:.1e}, {classes} pixels get another "
            f"class; panoptic: {segments} pixels differ; instances: scores differ by {masks:.1e}, "
            f"{others} pixels of masks differ"
        )
        assert scores < TOLERANCE and not classes and not segments
        assert masks < TOLERANCE and not others


if __name__ == "__main__":
    main(Path(sys.argv[1]))
