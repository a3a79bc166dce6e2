"""Published configurations by name: an architecture, its data and its test settings.

A preset (`presets/`) is an architecture for any classes. `mask2former-swin-tiny-coco-instance` is
that preset with COCO's 80 things, tested as its authors test it. Published weights have the same
names (`zoo.py`); some configurations have no published weights.
"""

from dataclasses import dataclass, replace

from unimask.config import (
    DiNATConfig,
    FPNPixelDecoderConfig,
    JointDecoderConfig,
    MaskedDecoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    ViTConfig,
)
from unimask.label_sets import NUM_CLASSES
from unimask.labels import LabelSet
from unimask.presets import DINAT_DILATIONS_1280, DINAT_DILATIONS_CITYSCAPES, preset
from unimask.published.publication import Publication
from unimask.published.publication_tables import PUBLICATIONS

IN21K = "-IN21k"
"""Suffix of backbones pretrained on ImageNet-21k; the architecture is the one without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """A network as its authors configured it.

    Attributes:
        preset: Name of the architecture.
        publication: Dataset, task and test settings.
        backbone: Part of the name that describes the backbone.
    """

    preset: str
    publication: Publication
    backbone: str

    @property
    def name(self) -> str:
        """Name of the configuration and of its published weights, if there are any."""
        published = self.publication
        return model_name(
            published.family,
            self.backbone,
            published.data,
            published.task,
            edge=published.edge,
            pretrained_on=published.pretrained_on,
        )

    @property
    def labels(self) -> LabelSet:
        """Label set of its data."""
        return self.publication.label_set(NUM_CLASSES[self.publication.labels])

    def network(self, num_classes: int | None = None) -> SegmenterConfig:
        """Return the architecture, for the classes of its data or for `num_classes` others."""
        published = self.publication
        config = preset(self.preset, num_classes or NUM_CLASSES[published.labels])
        queries, pixels = config.transformer_decoder, config.pixel_decoder
        if published.queries is not None and isinstance(
            queries, MaskedDecoderConfig | JointDecoderConfig
        ):
            queries = replace(queries, num_queries=published.queries)
        if published.clips and isinstance(queries, MaskedDecoderConfig):
            queries = replace(queries, clips=True)
        if isinstance(pixels, FPNPixelDecoderConfig) and not published.encoder:
            pixels = replace(pixels, encoder=None)
        backbone = config.backbone
        if isinstance(backbone, DiNATConfig):
            backbone = with_dilations(backbone, published)
        if isinstance(backbone, ViTConfig) and published.edge is not None:
            backbone = replace(backbone, image_size=published.edge)
        return replace(config, backbone=backbone, pixel_decoder=pixels, transformer_decoder=queries)

    def preprocessing(self) -> PreprocessingConfig:
        """Return the authors' test-time pre-processing."""
        return self.publication.preprocessing(self.network())

    def postprocessing(self) -> PostprocessingConfig:
        """Return the authors' post-processing."""
        return self.publication.postprocessing(self.network())


def with_dilations(backbone: DiNATConfig, publication: Publication) -> DiNATConfig:
    """Set the dilations that a DiNAT was trained with for this data and crop size."""
    if publication.data == "cityscapes":
        return replace(backbone, kernel_size=7, dilations=DINAT_DILATIONS_CITYSCAPES)
    return (
        replace(backbone, dilations=DINAT_DILATIONS_1280) if publication.edge == 1280 else backbone
    )


def model_name(
    family: str,
    backbone: str,
    data: str,
    task: str,
    *,
    edge: int | None = None,
    pretrained_on: str | None = None,
) -> str:
    """Return the name of a configuration and of its weights; it has no task for OneFormer."""
    task_name = None if task == "all" else task
    pretraining = None if pretrained_on is None else f"{pretrained_on}-pretrained"
    parts = (family, backbone, data, task_name, edge, pretraining)
    return "-".join(str(part) for part in parts if part is not None)


def list_model_configs(publication: Publication) -> tuple[ModelConfig, ...]:
    """Return the networks of a publication."""
    return tuple(
        ModelConfig(
            preset=f"{publication.family}-{backbone.removesuffix(IN21K)}",
            publication=publication,
            backbone=backbone,
        )
        for backbone in publication.backbones
    )


MODEL_CONFIGS = {
    configuration.name: configuration
    for publication in PUBLICATIONS
    for configuration in list_model_configs(publication)
}
