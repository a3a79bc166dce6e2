"""One dataset and task that networks of a family were published for, and what follows from it."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DiNATConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
)
from unimask.label_sets import known_labels
from unimask.labels import TASKS, LabelSet, Task
from unimask.presets import family_rules

Family = Literal["mask2former", "oneformer", "maskformer", "per-pixel", "per-pixel-plus"]

ALL: tuple[Task, ...] = tuple(reversed(TASKS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """Networks of one family that were published for the same data and task.

    Attributes:
        family: How the names of their presets begin.
        data: The dataset, as names of configurations have it; "" for nobody's.
        task: The task there; "all" for OneFormer.
        labels: Name of the label set; "" if it is nobody's.
        backbones: What follows the family in the names of their presets; with -IN21k where
            another was pretrained on less.
        tasks: What such weights can do, widest first.
        size: Shortest and longest edge of test pictures.
        size_wide: The same for backbones that the authors call B, L or XL, where it differs.
        size_divisor: As in `PreprocessingConfig`.
        object_threshold: As in `PostprocessingConfig`.
        queries: Masks proposed, where they are not as many as in the presets.
        encoder: MaskFormer: whether its ResNets have an encoder under their pyramid.
        edge: Shortest edge, where it is part of the name.
        pretrained_on: Data seen before, where it is part of the name.
        files: What the names of the published files end in: `model_final_94dc52.pkl`.
    """

    family: Family
    data: str
    task: Task | Literal["all"]
    labels: str
    backbones: tuple[str, ...]
    tasks: tuple[Task, ...]
    size: tuple[int, int]
    size_wide: tuple[int, int] | None = None
    size_divisor: int = 32
    object_threshold: float = 0.8
    queries: int | None = None
    encoder: bool = False
    edge: int | None = None
    pretrained_on: str | None = None
    files: frozenset[str] = frozenset()

    @property
    def dataset(self) -> frozenset[str]:
        """Words for the dataset in the names of files and folders."""
        return words(self.data.replace("ade20k", "ade ade20k"))

    def label_set(self, num_classes: int) -> LabelSet:
        """Give the labels; nobody's are numbered things."""
        if self.labels:
            return known_labels(self.labels)
        return LabelSet(tuple(f"class {i}" for i in range(num_classes)), (True,) * num_classes)

    def preprocessing(self, config: SegmenterConfig) -> PreprocessingConfig:
        """Give the size at which the authors test.

        They leave the pictures of per-pixel networks as they are, and enlarge the scores four
        times, so that these cover a little more: filling up to multiples of 4 does the same.
        """
        wide = self.size_wide is not None and is_wide(config.backbone)
        shortest, longest = self.size_wide if wide and self.size_wide else self.size
        rules = PreprocessingConfig(
            shortest_edge=shortest,
            longest_edge=longest,
            size_divisor=4 if is_per_pixel(config) else self.size_divisor,
        )
        return rules.for_channels(config.backbone.in_channels)

    def postprocessing(self, config: SegmenterConfig) -> PostprocessingConfig:
        """Give the thresholds; networks that only answer semantic questions resize scores.

        Masks of per-pixel networks are their scores, before any sigmoid.
        """
        queries = config.transformer_decoder
        rules = family_rules(config)
        if isinstance(queries, MaskedDecoderConfig) and queries.task_queries:
            rules = replace(rules, top_k=queries.num_queries)
        combined = self.tasks == ("semantic",) and not is_per_pixel(config)
        return replace(
            rules,
            object_threshold=self.object_threshold,
            resize="scores" if combined else "masks",
        )


def is_wide(backbone: BackboneConfig) -> bool:
    """Say whether the authors call a backbone B, L or XL."""
    if isinstance(backbone, SwinConfig | DiNATConfig):
        return backbone.embed_dim >= 128
    return isinstance(backbone, ConvNeXtConfig) and backbone.dims[0] >= 128


def is_per_pixel(config: SegmenterConfig) -> bool:
    """Say whether a network classifies pixels, not masks."""
    return isinstance(config.transformer_decoder, PerPixelConfig | PerPixelPlusConfig)


def family_of(config: SegmenterConfig) -> Family:
    """Say whose rules are a network's."""
    match config.transformer_decoder:
        case StandardDecoderConfig():
            return "maskformer"
        case PerPixelConfig():
            return "per-pixel"
        case PerPixelPlusConfig():
            return "per-pixel-plus"
    return "mask2former" if config.task_queries is None else "oneformer"


def words(text: str) -> frozenset[str]:
    """Give the words and numbers of a name."""
    return frozenset(re.findall(r"[a-z0-9]+", text.lower()))
