"""What the authors' networks were trained for, and how the authors test them.

From the configurations of Mask2Former (`configs/**/Base-*.yaml` and below, commit 9b0651c) and, for
the two sets that only MaskFormer was trained for, of MaskFormer. Their files carry none of this.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unimask.config import (
    BackboneConfig,
    ConvNeXtConfig,
    DiNATConfig,
    MaskedDecoderConfig,
    PostprocessingConfig,
    PreprocessingConfig,
    SegmenterConfig,
    SwinConfig,
)
from unimask.label_sets import SIZES, known_labels, recognise
from unimask.labels import TASKS, LabelSet, Task
from unimask.presets import family_rules

ALL: tuple[Task, ...] = tuple(reversed(TASKS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """One dataset and task that networks were published for.

    Attributes:
        labels: Name of the label set; "" if it is nobody's.
        dataset: Words for the dataset in the names of files and folders.
        task: The word for the task there.
        tasks: What such weights can do, widest first.
        size: Shortest and longest edge of test pictures.
        size_wide: The same for Swin-B and Swin-L, where it differs.
        object_threshold: As in `PostprocessingConfig`.
        files: What the names of the published files end in: `model_final_94dc52.pkl`.
    """

    labels: str
    dataset: frozenset[str]
    task: Task
    tasks: tuple[Task, ...]
    size: tuple[int, int]
    size_wide: tuple[int, int] | None = None
    object_threshold: float = 0.8
    files: frozenset[str] = frozenset()

    def label_set(self, num_classes: int) -> LabelSet:
        """Give the labels; nobody's are numbered things."""
        if self.labels:
            return known_labels(self.labels)
        return LabelSet(tuple(f"class {i}" for i in range(num_classes)), (True,) * num_classes)

    def preprocessing(self, backbone: BackboneConfig) -> PreprocessingConfig:
        """Give the size at which the authors test."""
        wide = self.size_wide is not None and is_wide(backbone)
        shortest, longest = self.size_wide if wide and self.size_wide else self.size
        return PreprocessingConfig(shortest_edge=shortest, longest_edge=longest)

    def postprocessing(self, config: SegmenterConfig) -> PostprocessingConfig:
        """Give the thresholds; networks that only answer semantic questions resize scores."""
        queries = config.transformer_decoder
        rules = family_rules(config)
        if isinstance(queries, MaskedDecoderConfig) and queries.task_queries:
            rules = replace(rules, top_k=queries.num_queries)
        return replace(
            rules,
            object_threshold=self.object_threshold,
            resize="scores" if self.tasks == ("semantic",) else "masks",
        )


def is_wide(backbone: BackboneConfig) -> bool:
    """Say whether the authors call a backbone B, L or XL."""
    if isinstance(backbone, SwinConfig | DiNATConfig):
        return backbone.embed_dim >= 128
    return isinstance(backbone, ConvNeXtConfig) and backbone.dims[0] >= 128


def words(text: str) -> frozenset[str]:
    """Give the words and numbers of a name."""
    return frozenset(re.findall(r"[a-z0-9]+", text.lower()))


COCO, CITYSCAPES = words("coco"), words("cityscapes")
ADE, MAPILLARY = words("ade ade20k"), words("mapillary vistas")

PUBLICATIONS = (
    Publication(
        labels="coco_panoptic", dataset=COCO, task="panoptic", tasks=ALL, size=(800, 1333),
        files=words("94dc52 b807bd 9fd0ae a407fd 9d7f02 54b88a f07440"),
    ),
    Publication(
        labels="coco_instance", dataset=COCO, task="instance", tasks=("instance",),
        size=(800, 1333), files=words("3c8ec9 eba159 86143f 1e7f22 f6e0f6 83d103 e5f453"),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="semantic", tasks=("semantic",),
        size=(512, 2048), size_wide=(640, 2560),
        files=words("500878 0d68be 5274a6 011c6d 503e96 7e47bf 6b4a3a"),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="panoptic", tasks=ALL, size=(640, 2560),
        files=words("5c90d4 e0c58e"),
    ),
    Publication(
        labels="ade20k_instance", dataset=ADE, task="instance", tasks=("instance",),
        size=(640, 2560), files=words("67e945 92dae9"),
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="semantic", tasks=("semantic",),
        size=(1024, 2048), files=words("cc1b1f 257ce8 2d58d4 fa26ae 1c6b65 17c1ee"),
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="panoptic", tasks=ALL, size=(1024, 2048),
        files=words("4ab90c 04d286 ceba0f 23efb7 fa840f 064788"),
    ),
    Publication(
        labels="cityscapes_instance", dataset=CITYSCAPES, task="instance", tasks=("instance",),
        size=(1024, 2048), files=words("01a8ed c2b8c8 6a63f8 974824 7a3b6d dfa862"),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="semantic", tasks=("semantic",),
        size=(2048, 2048), files=words("6c66d0 90ee2d"),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="panoptic",
        tasks=("panoptic", "semantic"), size=(2048, 2048), object_threshold=0.0,
        files=words("4e9874 132c71"),
    ),
    Publication(
        labels="coco_stuff", dataset=COCO, task="semantic", tasks=("semantic",), size=(640, 2560),
    ),
    Publication(
        labels="ade20k_full", dataset=ADE, task="semantic", tasks=("semantic",), size=(512, 2048),
    ),
)  # fmt: skip

NOBODYS = Publication(
    labels="", dataset=frozenset(), task="panoptic", tasks=ALL, size=(800, 1333)
)  # fmt: skip
"""Networks that are not published: as most of the family, panoptic at COCO's size."""


ONEFORMERS = (
    Publication(
        labels="coco_panoptic", dataset=COCO, task="panoptic", tasks=ALL, size=(800, 1333),
    ),
    Publication(
        labels="ade20k", dataset=ADE, task="panoptic", tasks=ALL,
        size=(512, 2048), size_wide=(640, 2560), object_threshold=0.5,
    ),
    Publication(
        labels="cityscapes", dataset=CITYSCAPES, task="panoptic", tasks=ALL, size=(1024, 2048),
    ),
    Publication(
        labels="mapillary_vistas", dataset=MAPILLARY, task="panoptic", tasks=ALL,
        size=(2048, 2048),
    ),
)  # fmt: skip
"""OneFormer's, one for each dataset: each network does all tasks (`OneFormer/configs`)."""

LARGER = {"896x896": (896, 3584), "1280x1280": (1280, 5120)}
"""Test sizes of OneFormers that were trained on larger squares, by a word of their names."""


def oneformer_of(labels: str | None, path: Path) -> Publication:
    """Give the publication of a OneFormer, with the size that its name tells."""
    found = next((p for p in ONEFORMERS if p.labels == labels), NOBODYS)
    larger = words(path.name) & LARGER.keys()
    if not larger:
        return found
    return replace(found, size=LARGER[next(iter(larger))], size_wide=None)


def named_by(path: Path, publications: Sequence[Publication]) -> Publication | None:
    """Give the one publication whose file this is, or whose dataset and task the path names."""
    told = words("/".join(path.absolute().parts[-5:]))
    for fits in (
        [p for p in publications if told & p.files],
        [p for p in publications if told & p.dataset and p.task in told],
    ):
        if len(fits) == 1:
            return fits[0]
    return None


def publication_of_names(config: SegmenterConfig, names: Sequence[str], path: Path) -> Publication:
    """Give the publication whose labels these names are, the panoptic one in doubt."""
    labels = recognise(names)
    if config.task_queries is not None:
        return oneformer_of(labels, path)
    fits = [p for p in PUBLICATIONS if p.labels == labels]
    return named_by(path, fits) or (fits[-1] if fits else NOBODYS)


def publication_of_size(config: SegmenterConfig, path: Path) -> tuple[Publication, str | None]:
    """Give the publication that a file without names belongs to.

    Returns:
        The publication and, unless the path names it, a line for a person on what was assumed.
    """
    num_classes = config.num_classes
    told_task = config.task_queries is not None
    fits = [
        p for p in (ONEFORMERS if told_task else PUBLICATIONS) if SIZES[p.labels] == num_classes
    ]
    if not fits:
        return NOBODYS, (
            f"{path} names no classes, and no published network has {num_classes}: they are "
            "called class 0, class 1, ... and counted as things"
        )
    if told_task:
        return oneformer_of(fits[0].labels, path), None
    named = named_by(path, fits)
    if named is not None:
        return named, None
    # Where semantic and panoptic networks share a label set, only the latter have 200 queries.
    queries = config.transformer_decoder
    many = isinstance(queries, MaskedDecoderConfig) and queries.num_queries > 100
    likely = fits[-1] if many else fits[0]
    told = words("/".join(path.absolute().parts[-5:]))
    chosen = next((p for p in fits if p.task in told), likely)
    folder = f"{sorted(chosen.dataset)[-1]}/{chosen.task}/"
    return chosen, (
        f"{path} does not tell its classes: by their number, {num_classes}, it is taken as "
        f"{chosen.labels}, {chosen.task}; a folder such as {folder} would say so"
    )
