"""The publication that weights belong to, by their labels, their size, and their file's name."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unimask.config import FPNPixelDecoderConfig, MaskedDecoderConfig, SegmenterConfig
from unimask.label_sets import SIZES, recognise
from unimask.labels import Task
from unimask.published.publication import Publication, family_of, is_per_pixel, words
from unimask.published.publications import NOBODYS, PUBLICATIONS


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


def candidates(config: SegmenterConfig, labels: Sequence[str | None]) -> list[Publication]:
    """Give the publications of some label sets that a network can belong to.

    Those of its own family; where that has none, of the first that has any, but for OneFormers,
    which alone are told their task.
    """
    family = family_of(config)
    fits = [p for p in PUBLICATIONS if p.labels in labels]
    own = [p for p in fits if p.family == family]
    if own or family == "oneformer":
        return own
    return [suited(p, config) for p in fits if p.family == fits[0].family]


def suited(publication: Publication, config: SegmenterConfig) -> Publication:
    """Leave a network that classifies pixels its one task."""
    if not is_per_pixel(config):
        return publication
    return replace(publication, task="semantic", tasks=("semantic",))


def panoptic_is_likely(config: SegmenterConfig) -> bool:
    """Say whether a network is panoptic, where semantic ones have the same labels.

    Of Mask2Formers only the panoptic ones have 200 queries there, of MaskFormers only they have an
    encoder under their pyramid.
    """
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig):
        return queries.num_queries > 100
    return isinstance(pixels, FPNPixelDecoderConfig) and pixels.encoder is not None


def of_edge(path: Path, publications: Sequence[Publication]) -> Publication:
    """Give the OneFormer of the test size that a path names, as `896x896`, or of the usual one."""
    told = words(path.name)
    named = [p for p in publications if p.edge and f"{p.edge}x{p.edge}" in told]
    return named[0] if named else publications[0]


def publication_of_names(config: SegmenterConfig, names: Sequence[str], path: Path) -> Publication:
    """Give the publication whose labels these names are, Mask2Former's panoptic one in doubt."""
    fits = candidates(config, [recognise(names)])
    if not fits:
        return suited(NOBODYS, config)
    if config.task_queries is not None:
        return of_edge(path, fits)
    panoptic = family_of(config) == "mask2former" or panoptic_is_likely(config)
    return named_by(path, fits) or fits[-1 if panoptic else 0]


def publication_of_task(
    config: SegmenterConfig, names: Sequence[str], tasks: Sequence[Task]
) -> Publication | None:
    """Give what networks of this family were published as for these labels and one of the tasks."""
    labels, family = recognise(names), family_of(config)
    fits = (p for p in PUBLICATIONS if p.labels == labels and p.family == family)
    return next((p for p in fits if p.task == "all" or p.task in tasks), None)


def publication_of_size(config: SegmenterConfig, path: Path) -> tuple[Publication, str | None]:
    """Give the publication that a file without names belongs to.

    Returns:
        The publication and, unless the path names it, a line for a person on what was assumed.
    """
    num_classes = config.num_classes
    fits = candidates(config, [labels for labels, size in SIZES.items() if size == num_classes])
    if not fits:
        return suited(NOBODYS, config), (
            f"{path} names no classes, and no published network has {num_classes}: they are "
            "called class 0, class 1, ... and counted as things"
        )
    if config.task_queries is not None:
        return of_edge(path, fits), None
    named = named_by(path, fits)
    if named is not None:
        return named, None
    likely = fits[-1] if panoptic_is_likely(config) else fits[0]
    told = words("/".join(path.absolute().parts[-5:]))
    chosen = next((p for p in fits if p.task in told), likely)
    return chosen, (
        f"{path} does not tell its classes: by their number, {num_classes}, it is taken as "
        f"{chosen.labels}, {chosen.task}; a folder such as {chosen.data}/{chosen.task}/ would say "
        "so"
    )
