"""Recognition of the publication of weights by labels, size, and file name."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unimask.config import (
    FPNPixelDecoderConfig,
    JointDecoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
    ViTConfig,
)
from unimask.errors import CheckpointError
from unimask.label_sets import NUM_CLASSES, find_label_set
from unimask.labels import Task
from unimask.published.publication import Publication, find_family, is_per_pixel, split_words
from unimask.published.publication_tables import (
    CLIPS,
    DETRS,
    PUBLICATIONS,
    UNPUBLISHED,
    UNPUBLISHED_CLIPS,
)

YOUTUBE_VIS = re.compile(r"(?:ytvis|youtube[-_]?vis)[-_]?(20\d\d)?")
"""Name of YouTube-VIS in paths, with its year."""

VIDEO_NAMES = re.compile(YOUTUBE_VIS.pattern + "|video_mask")
"""Names of Mask2Former for video in paths."""


def path_end(path: Path) -> str:
    """Return the last parts of a path, in lower case, that may name what a file holds."""
    return "/".join(path.absolute().parts[-5:]).lower()


def segments_clips(config: SegmenterConfig, path: Path) -> bool:
    """Return whether a file of the authors belongs to a network of clips.

    Its tensors are those of a network for images: only the name of the file or of its folders, or
    the number of classes, show it. A folder `images` overrides the number of classes.
    """
    if not isinstance(config.transformer_decoder, MaskedDecoderConfig) or config.task_queries:
        return False
    words = split_words(path_end(path))
    if VIDEO_NAMES.search(path_end(path)) or any(words & p.files for p in CLIPS):
        return True
    return config.num_classes in {NUM_CLASSES[p.labels] for p in CLIPS} and "images" not in words


def find_clip_publication(config: SegmenterConfig, path: Path) -> tuple[Publication, str | None]:
    """Return the publication of a network of clips; see `find_publication_by_size`.

    Raises:
        CheckpointError: The number of classes fits several, and the path names none of them.
    """
    fits = [p for p in CLIPS if NUM_CLASSES[p.labels] == config.num_classes]
    if not fits:
        return UNPUBLISHED_CLIPS, (
            f"{path} names no classes, and no published network of clips has "
            f"{config.num_classes}: they are called class 0, class 1, ..."
        )
    end = path_end(path)
    words, years = split_words(end), set(YOUTUBE_VIS.findall(end))
    named = [p for p in fits if words & p.files] or [p for p in fits if p.data[-4:] in years]
    if len(named) == 1:
        return named[0], None
    raise CheckpointError(
        f"{path} has {config.num_classes} classes, as YouTube-VIS 2019 and YouTube-VIS 2021 have, "
        "and does not name the year: put it into a folder ytvis_2019 or ytvis_2021, or a network "
        "for images into a folder images"
    )


def find_named_publication(path: Path, publications: Sequence[Publication]) -> Publication | None:
    """Return the one publication whose file, or whose dataset and task, the path names."""
    path_words = split_words(path_end(path))
    for fits in (
        [p for p in publications if path_words & p.files],
        [p for p in publications if path_words & p.dataset and p.task in path_words],
    ):
        if len(fits) == 1:
            return fits[0]
    return None


def candidate_publications(
    config: SegmenterConfig, labels: Sequence[str | None]
) -> list[Publication]:
    """Return the publications for given label sets that a network can belong to.

    These are the ones of its own family; if that has none, those of the first family that has any,
    except for OneFormer, whose networks alone take a task. Only DETRs have its label set.
    """
    family = find_family(config)
    fits = [p for p in PUBLICATIONS if p.labels in labels and p.clips == config.clips]
    fits = [p for p in fits if p not in DETRS or family == "detr"]
    same_family = [p for p in fits if p.family == family]
    if isinstance(config.backbone, ViTConfig):
        same_size = [p for p in same_family if p.edge == config.backbone.image_size]
        same_family = same_size or same_family
    if same_family or family == "oneformer":
        return same_family
    return [restrict_tasks(p, config) for p in fits if p.family == fits[0].family]


def restrict_tasks(publication: Publication, config: SegmenterConfig) -> Publication:
    """Restrict a publication to semantic segmentation if the network classifies pixels."""
    if not is_per_pixel(config):
        return publication
    return replace(publication, task="semantic", tasks=("semantic",))


def is_probably_panoptic(config: SegmenterConfig) -> bool:
    """Return whether a network is probably panoptic, where semantic ones have the same labels.

    Among such Mask2Formers and EoMTs only the panoptic ones have 200 queries, among MaskFormers
    only they have an encoder before their pyramid.
    """
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig | JointDecoderConfig):
        return queries.num_queries > 100
    return isinstance(pixels, FPNPixelDecoderConfig) and pixels.encoder is not None


def select_by_edge(path: Path, publications: Sequence[Publication]) -> Publication:
    """Return the OneFormer of the test size in a path (`896x896`), else of the usual one."""
    path_words = split_words(path.name)
    named = [p for p in publications if p.edge and f"{p.edge}x{p.edge}" in path_words]
    return named[0] if named else publications[0]


def has_generic_names(names: Sequence[str]) -> bool:
    """Return whether names of classes are those of a `transformers` that knows only their number.

    The authors' conversion of EoMTs leaves such names in the folders on the Hub.
    """
    return all(re.fullmatch(r"LABEL_\d+", name) for name in names)


def find_publication_by_names(
    config: SegmenterConfig, names: Sequence[str], path: Path
) -> Publication:
    """Return the publication whose labels have these names, Mask2Former's panoptic one in doubt."""
    labels = [find_label_set(names)]
    if find_family(config) == "detr" and has_generic_names(names):
        labels = [p.labels for p in DETRS if NUM_CLASSES[p.labels] == config.num_classes]
    if find_family(config) == "eomt" and has_generic_names(names):
        named = split_words(path_end(path))
        labels = [p.labels for p in PUBLICATIONS if p.family == "eomt" and p.dataset & named]
        labels = [name for name in labels if NUM_CLASSES[name] == config.num_classes]
    fits = candidate_publications(config, labels)
    if not fits:
        return UNPUBLISHED_CLIPS if config.clips else restrict_tasks(UNPUBLISHED, config)
    if config.task_queries is not None:
        return select_by_edge(path, fits)
    panoptic = find_family(config) == "mask2former" or is_probably_panoptic(config)
    return find_named_publication(path, fits) or fits[-1 if panoptic else 0]


def find_publication_by_task(
    config: SegmenterConfig, names: Sequence[str], tasks: Sequence[Task]
) -> Publication | None:
    """Return the publication of this network's family for these labels and one of the tasks."""
    labels, family = find_label_set(names), find_family(config)
    fits = (
        p
        for p in PUBLICATIONS
        if p.labels == labels and p.family == family and p.clips == config.clips
    )
    return next((p for p in fits if p.task == "all" or p.task in tasks), None)


def find_publication_by_size(config: SegmenterConfig, path: Path) -> tuple[Publication, str | None]:
    """Return the publication to which a file without class names belongs.

    Returns:
        The publication and, unless the path names it, a line for the user about what was assumed.

    Raises:
        CheckpointError: It belongs to one of several networks of clips, whose classes differ.
    """
    if config.clips:
        return find_clip_publication(config, path)
    num_classes = config.num_classes
    fits = candidate_publications(
        config, [labels for labels, size in NUM_CLASSES.items() if size == num_classes]
    )
    if not fits:
        return restrict_tasks(UNPUBLISHED, config), (
            f"{path} names no classes, and no published network has {num_classes}: they are "
            "called class 0, class 1, ... and counted as things"
        )
    if config.task_queries is not None:
        return select_by_edge(path, fits), None
    named = find_named_publication(path, fits)
    if named is not None:
        return named, None
    likely = fits[-1] if is_probably_panoptic(config) else fits[0]
    path_words = split_words(path_end(path))
    publication = next((p for p in fits if p.task in path_words), likely)
    return publication, (
        f"{path} does not name its classes: by their number, {num_classes}, it is taken as "
        f"{publication.labels}, {publication.task}; a folder such as "
        f"{publication.data}/{publication.task}/ would identify it"
    )
