"""A dataset and task for which networks of a family were published, and their test settings."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DetrPixelDecoderConfig,
    DiNATConfig,
    JointDecoderConfig,
    MaskedDecoderConfig,
    PerPixelConfig,
    PerPixelPlusConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    StandardDecoderConfig,
    SwinConfig,
    ViTConfig,
)
from unimask.label_sets import known_labels
from unimask.labels import TASKS, LabelSet, Task
from unimask.presets import family_postprocessing

Family = Literal[
    "mask2former", "oneformer", "maskformer", "eomt", "detr", "per-pixel", "per-pixel-plus"
]

ALL_TASKS: tuple[Task, ...] = tuple(reversed(TASKS))

CLIP_TOP_K = 10
"""Number of pairs of query and class that the authors keep of a video (`inference_video`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """Networks of one family that were published for the same dataset and task.

    Attributes:
        family: First part of the names of their presets.
        data: Name of the dataset within names of configurations; "" for unpublished networks.
        task: Task of the publication; "all" for OneFormer.
        labels: Name of the label set; "" if unknown.
        backbones: Parts of the presets' names that follow the family; with -IN21k where another one
            was pretrained on ImageNet-1k.
        tasks: Tasks that the weights support, most demanding first.
        size: Shortest and longest edge of test images in pixels.
        size_wide: Value of `size` for the backbones that the authors call B, L or XL, if it
            differs.
        swin_edges: Width and shortest edge of test images of each Swin whose edge differs.
        size_divisor: As in `PreprocessingConfig`.
        object_threshold: As in `PostprocessingConfig`, if it differs from the family's.
        queries: Number of queries, if it differs from the presets'.
        encoder: Whether MaskFormer's ResNets have a transformer encoder before the pyramid.
        edge: Shortest edge in pixels, if it is part of the name.
        pretrained_on: Dataset of an earlier training, if it is part of the name.
        files: Hashes at the end of the names of published files (`model_final_94dc52.pkl`).
        clips: Whether the networks segment clips of videos.
    """

    family: Family
    data: str
    task: Task | Literal["all"]
    labels: str
    backbones: tuple[str, ...]
    tasks: tuple[Task, ...]
    size: tuple[int, int]
    size_wide: tuple[int, int] | None = None
    swin_edges: tuple[tuple[int, int], ...] = ()
    size_divisor: int = 32
    object_threshold: float | None = None
    queries: int | None = None
    encoder: bool = False
    edge: int | None = None
    pretrained_on: str | None = None
    files: frozenset[str] = frozenset()
    clips: bool = False

    @property
    def dataset(self) -> frozenset[str]:
        """Words that mean the dataset in names of files and folders."""
        return split_words(self.data.replace("ade20k", "ade ade20k"))

    def label_set(self, num_classes: int) -> LabelSet:
        """Return the label set; classes of unknown names become numbered things."""
        if self.labels:
            return known_labels(self.labels)
        return LabelSet(tuple(f"class {i}" for i in range(num_classes)), (True,) * num_classes)

    def preprocessing(self, config: SegmenterConfig) -> PreprocessingConfig:
        """Return the authors' test-time pre-processing.

        For per-pixel networks they do not pad images but enlarge the scores four times, so that the
        scores cover slightly more than the image: padding to multiples of 4 has the same effect.
        DETR takes images of any size, without padding.
        A ViT sees images of the size that it was trained on.
        """
        if isinstance(config.backbone, ViTConfig):
            return self.square_preprocessing(config.backbone)
        shortest, longest = self.size
        if self.size_wide is not None and is_wide(config.backbone):
            shortest, longest = self.size_wide
        if isinstance(config.backbone, SwinConfig):
            shortest = dict(self.swin_edges).get(config.backbone.embed_dim, shortest)
        rules = PreprocessingConfig(
            shortest_edge=shortest,
            longest_edge=longest,
            size_divisor=self.find_size_divisor(config),
        )
        return rules.with_channels(config.backbone.in_channels)

    def find_size_divisor(self, config: SegmenterConfig) -> int:
        """Return the number of which the sides of images are multiples after padding."""
        if is_per_pixel(config):
            return 4
        return 1 if find_family(config) == "detr" else self.size_divisor

    def square_preprocessing(self, backbone: ViTConfig) -> PreprocessingConfig:
        """Return the pre-processing of networks for square images."""
        edge = backbone.image_size
        rules = PreprocessingConfig(
            shortest_edge=edge,
            longest_edge=edge,
            size_divisor=backbone.patch_size,
            fixed_size=(edge, edge),
            square="windows" if self.tasks == ("semantic",) else "pad",
        )
        return rules.with_channels(backbone.in_channels)

    def postprocessing(self, config: SegmenterConfig) -> PostprocessingConfig:
        """Return the authors' post-processing.

        Networks for semantic segmentation only resize scores instead of masks. The masks of
        per-pixel networks are their scores, without a sigmoid.
        """
        queries = config.transformer_decoder
        rules = family_postprocessing(config)
        if isinstance(queries, MaskedDecoderConfig) and queries.task_queries:
            rules = replace(rules, top_k=queries.num_queries)
        if self.clips:
            rules = replace(rules, top_k=CLIP_TOP_K)
        combined = self.tasks == ("semantic",) and not is_per_pixel(config)
        if self.object_threshold is not None:
            rules = replace(rules, object_threshold=self.object_threshold)
        return replace(rules, resize="scores" if combined else "masks")


def is_wide(backbone: BackboneConfig) -> bool:
    """Return whether the authors call a backbone B, L or XL."""
    if isinstance(backbone, SwinConfig | DiNATConfig):
        return backbone.embed_dim >= 128
    return isinstance(backbone, ConvNeXtConfig) and backbone.dims[0] >= 128


def is_per_pixel(config: SegmenterConfig) -> bool:
    """Return whether a network classifies pixels instead of masks."""
    return isinstance(config.transformer_decoder, PerPixelConfig | PerPixelPlusConfig)


def find_family(config: SegmenterConfig) -> Family:
    """Return the family whose test settings apply to a network."""
    match config.transformer_decoder:
        case StandardDecoderConfig():
            detr = isinstance(config.pixel_decoder, DetrPixelDecoderConfig)
            return "detr" if detr else "maskformer"
        case JointDecoderConfig():
            return "eomt"
        case PerPixelConfig():
            return "per-pixel"
        case PerPixelPlusConfig():
            return "per-pixel-plus"
    return "mask2former" if config.task_queries is None else "oneformer"


def split_words(text: str) -> frozenset[str]:
    """Return the words and numbers of a name, in lower case."""
    return frozenset(re.findall(r"[a-z0-9]+", text.lower()))
