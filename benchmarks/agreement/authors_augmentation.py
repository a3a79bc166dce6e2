"""Compare test-time augmentation for semantic segmentation with the authors' own code.

Needs their repositories (https://github.com/facebookresearch/Mask2Former and .../detectron2) and
the package fvcore; see `authors_network.py`. Their `SemanticSegmentorWithTTA` and
`DatasetMapperTTA` run our bundled networks on rendered scenes of several sizes, with both orders of
resizing masks and combining classes. Class scores of our side are those of `mean_scores`.

    python -m benchmarks.agreement.authors_augmentation MASK2FORMER DETECTRON2
"""

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import unimask
from benchmarks.agreement.authors_network import stub
from unimask.config import PreprocessingConfig
from unimask.datasets.rendered_town import TownScene
from unimask.inference import Predictor
from unimask.inference.augmentation import Augmentations, ViewModel, predict_views
from unimask.processing.augmented.mean_scores import mean_scores

SIZES = ((120, 120), (90, 200), (200, 77))
CASES = (
    # Test size of ours, MIN_SIZES and MAX_SIZE of theirs.
    ((128, 512), (64, 96, 128, 160, 192, 224), 896),
    ((128, 160), (64, 96, 128, 160, 192, 224), 280),
)
TOLERANCE = 1e-5


class TheirModel:
    """Their model's inference around one of our networks (`mask2former/maskformer_model.py`)."""

    input_format = "RGB"

    def __init__(self, model: Predictor, resize: str) -> None:
        self.model, self.resize = model, resize
        self.postprocess = import_module("detectron2.modeling.postprocessing").sem_seg_postprocess

    def __call__(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
        """Return the class scores of one image."""
        (item,) = batched_inputs
        config = self.model.description.preprocessing
        mean, std = (torch.tensor(values)[:, None, None] for values in (config.mean, config.std))
        image = (item["image"].float() - mean) / std
        size = (image.shape[1], image.shape[2])
        padded = [-(-side // config.size_divisor) * config.size_divisor for side in size]
        image = F.pad(image, (0, padded[1] - size[1], 0, padded[0] - size[0]))
        output = self.model.network(image[None], "semantic")
        masks = F.interpolate(output.mask_logits, padded, mode="bilinear", align_corners=False)[0]
        target = size, item["height"], item["width"]
        if self.resize == "masks":
            masks = self.postprocess(masks, *target)
        classes = F.softmax(output.class_logits[0], dim=-1)[..., :-1]
        scores = torch.einsum("qc,qhw->chw", classes, masks.sigmoid())
        return [
            {"sem_seg": scores if self.resize == "masks" else self.postprocess(scores, *target)}
        ]


def stub_packages(mask2former: Path, detectron2: Path) -> None:
    """Stub what the authors' files import for other purposes."""
    root = detectron2 / "detectron2"
    stub("detectron2", root)
    stub("detectron2.utils", Path())
    stub("detectron2.utils.env", fixup_module_metadata=lambda *_: None)
    stub("detectron2.config", configurable=lambda function: function)
    stub("detectron2.layers")
    stub("detectron2.structures", Boxes=None, Instances=None, ROIMasks=None, pairwise_iou=None)
    stub("detectron2.data", root / "data")
    stub("detectron2.data.detection_utils", read_image=None)
    stub("detectron2.modeling", root / "modeling")
    stub("detectron2.modeling.meta_arch", GeneralizedRCNN=None)
    stub("detectron2.modeling.roi_heads", Path())
    stub("detectron2.modeling.roi_heads.fast_rcnn", fast_rcnn_inference_single_image=None)
    part = import_module("detectron2.modeling.test_time_augmentation")
    sys.modules["detectron2.modeling"].DatasetMapperTTA = part.DatasetMapperTTA  # type: ignore[attr-defined]
    stub("mask2former", mask2former / "mask2former")


def their_scores(
    model: Predictor, image: np.ndarray, resize: str, sizes: tuple[int, ...], longest: int
) -> Tensor:
    """Return the mean class scores that the authors' code computes."""
    transforms = import_module("detectron2.data.transforms")
    augmentation = import_module("mask2former.test_time_augmentation")
    config = model.description.preprocessing
    test_resize = transforms.ResizeShortestEdge(config.shortest_edge, config.longest_edge)
    resized, _ = transforms.apply_augmentations([test_resize], np.copy(image))
    tensor = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
    kind = augmentation.SemanticSegmentorWithTTA
    segmentor = kind.__new__(kind)  # without a configuration
    torch.nn.Module.__init__(segmentor)
    segmentor.model = TheirModel(model, resize)
    segmentor.tta_mapper = sys.modules["detectron2.modeling"].DatasetMapperTTA(  # type: ignore[attr-defined]
        list(sizes), longest, True
    )
    height, width = image.shape[:2]
    (result,) = segmentor([{"image": tensor, "height": height, "width": width}])
    return result["sem_seg"]


def our_scores(model: Predictor, image: np.ndarray, resize: str) -> Tensor:
    """Return our mean class scores."""
    views_model = ViewModel(
        "semantic",
        model.labels,
        model.description.preprocessing,
        model.preprocess,
        lambda pixel_values: model.logits(pixel_values, "semantic"),
    )
    views, _ = predict_views(views_model, image, Augmentations(), 1)
    size = image.shape[0], image.shape[1]
    strips = mean_scores(views, size, resize_scores=resize == "scores")
    return torch.cat([scores for _, scores in strips], dim=1)


def limited(model: Predictor, test_size: tuple[int, int]) -> Predictor:
    """Return a model with another test size, so that small images suffice."""
    preprocessing: PreprocessingConfig = replace(
        model.description.preprocessing,
        shortest_edge=test_size[0],
        longest_edge=test_size[1],
        stretch=False,
    )
    description = replace(model.description, preprocessing=preprocessing)
    return Predictor(model.network, description, model.name)


@torch.no_grad()
def main(mask2former: Path, detectron2: Path) -> None:
    """Compare scores and classes, and print the greatest differences."""
    stub_packages(mask2former, detectron2)
    worst = 0.0
    for name in ("nuclei", "rendered-town"):
        loaded = unimask.load(name, device="cpu")
        for test_size, sizes, longest in CASES:
            model = limited(loaded, test_size)
            for resize in ("masks", "scores"):
                for seed, size in enumerate(SIZES):
                    image = TownScene(seed=seed, size=size).render().image
                    theirs = their_scores(model, image, resize, sizes, longest)
                    ours = our_scores(model, image, resize)
                    difference = float((ours - theirs).abs().max())
                    worst = max(worst, difference)
                    differing = int((ours.argmax(0) != theirs.argmax(0)).sum())
                    print(
                        f"{name}, test size {test_size}, resizing of {resize}, image {size}: "
                        f"scores differ by {difference:.1e}, {differing} pixels get another class"
                    )
    print(f"greatest difference {worst:.1e}")
    assert worst < TOLERANCE


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
