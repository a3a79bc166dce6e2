"""Training by `run_instance_segmentation_no_trainer.py`, an example of `transformers`.

Its own image processor, augmentation, loss and post-processing; rate, schedule, decay and clipping
are arguments, as they are of the example or of the `Trainer` beside it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import albumentations  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers.models.mask2former.image_processing_pil_mask2former import (
    Mask2FormerImageProcessorPil,
)

from unimask.datasets import Dataset, Sample
from unimask.evaluation.scorers import PanopticScorer
from unimask.formats.run_length import encode_id_map
from unimask.labels import LabelSet
from unimask.results import Result, Segment

VOID = 255
"""Value of pixels without a label, which belong to no mask."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Options of the example.

    Attributes:
        steps: Number of updates.
        batch: Number of images per update.
        rate: Peak of the learning rate.
        share: Function from a step, counted from 0, to the fraction of the peak.
        decay: Weight decay of all weights.
        clip: Maximum norm of the gradients; None for none, as in the example.
        seed: Seed of the order of images and of their augmentation.
    """

    steps: int
    batch: int
    rate: float
    share: Callable[[int], float]
    decay: float
    clip: float | None
    seed: int


class Images(TorchDataset):
    """Labelled images, prepared as in the example.

    Args:
        dataset: Labelled images, at most 254 segments in each.
        processor: Image processor, which resizes, normalises and converts the map to masks.
        transform: Augmentation of image and map.
    """

    def __init__(
        self,
        dataset: Dataset,
        processor: Mask2FormerImageProcessorPil,
        transform: albumentations.Compose,
    ) -> None:
        self.dataset, self.processor, self.transform = dataset, processor, transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return pixel values, masks and their classes."""
        sample = self.dataset[index]
        changed = self.transform(image=sample.image, mask=segment_map(sample))
        classes = {number: int(label) for number, label in enumerate(sample.label_ids)}
        inputs = self.processor(
            images=[changed["image"]],
            segmentation_maps=[changed["mask"]],  # pyright: ignore[reportCallIssue]
            instance_id_to_semantic_id=classes,  # pyright: ignore[reportCallIssue]
            return_tensors="pt",
        )
        return {name: inputs[name][0] for name in ("pixel_values", "mask_labels", "class_labels")}


def segment_map(sample: Sample) -> np.ndarray:
    """Number the segments from 0, as uint8."""
    return np.where(sample.front > 0, sample.front - 1, VOID).astype(np.uint8)


def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack the images; masks and classes stay lists."""
    batch = {name: [example[name] for example in examples] for name in examples[0]}
    return batch | {"pixel_values": torch.stack(batch["pixel_values"])}


def augmentation(seed: int) -> albumentations.Compose:
    """Return the example's augmentation."""
    return albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.RandomBrightnessContrast(p=0.5),
            albumentations.HueSaturationValue(p=0.1),
        ],
        seed=seed,
    )


def train(model: nn.Module, images: Images, recipe: Recipe) -> Iterator[int]:
    """Train; yield the number of each step after it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, recipe.share)
    torch.manual_seed(recipe.seed)
    done = 0
    while True:
        # The example's last batch of an epoch is smaller; here all are alike.
        loader = DataLoader(images, recipe.batch, shuffle=True, collate_fn=collate, drop_last=True)
        for batch in loader:
            model.train()
            model(**batch).loss.backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            done += 1
            yield done
            if done == recipe.steps:
                return


@torch.no_grad()
def evaluate(
    model: nn.Module, processor: Mask2FormerImageProcessorPil, dataset: Dataset
) -> dict[str, float | None]:
    """Score the example's own post-processing on labelled images, at their own size."""
    model.eval()
    scorer = PanopticScorer(dataset.labels)
    for index in range(len(dataset)):
        sample = dataset[index]
        inputs = processor(images=[sample.image], return_tensors="pt")
        output = model(pixel_values=inputs["pixel_values"])
        stuff = {label for label, thing in enumerate(dataset.labels.is_thing) if not thing}
        found = processor.post_process_panoptic_segmentation(
            output, target_sizes=[sample.size], label_ids_to_fuse=stuff
        )
        scorer.add(as_result(found[0], dataset.labels), sample)
    return scorer.metrics()


def as_result(found: dict[str, Any], labels: LabelSet) -> Result:
    """Convert a segmentation of `transformers` to a result of ours."""
    ids: Tensor = found["segmentation"]
    numbers = ids.clamp(min=0).to(torch.int32).numpy()
    facts = {fact["id"]: fact for fact in found["segments_info"]}
    segments = tuple(
        Segment.from_rle(labels, facts[id]["label_id"], rle, id=id, score=facts[id]["score"])
        for id, rle in encode_id_map(numbers).items()
    )
    return Result("panoptic", tuple(numbers.shape), labels, segments)  # type: ignore[arg-type]


def read(folder: Path, side: int, points: int) -> tuple[nn.Module, Mask2FormerImageProcessorPil]:
    """Load network and processor of a folder.

    Args:
        folder: Folder in the Hugging Face schema.
        side: Height and width to which images are resized.
        points: Number of points at which masks are compared.
    """
    load = transformers.Mask2FormerForUniversalSegmentation.from_pretrained
    model = load(folder, train_num_points=points)
    size = {"height": side, "width": side}
    processor = Mask2FormerImageProcessorPil.from_pretrained(folder, size=size, ignore_index=VOID)
    return model, processor
