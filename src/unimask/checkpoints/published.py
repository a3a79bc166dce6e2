"""What a network was published for, from its family, labels and size, and what it is called."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unimask.checkpoints.publication import Publication, is_per_pixel, words
from unimask.checkpoints.published_networks import (
    LARGER,
    MASK2FORMERS,
    MASKFORMERS,
    NOBODYS,
    ONEFORMERS,
)
from unimask.config import (
    FPNPixelDecoderConfig,
    MaskedDecoderConfig,
    SegmenterConfig,
)
from unimask.label_sets import SIZES, recognise


def oneformer_of(labels: str | None, path: Path) -> Publication:
    """Give the publication of a OneFormer, with the size that its name tells."""
    found = next((p for p in ONEFORMERS if p.labels == labels), NOBODYS)
    larger = words(path.name) & LARGER.keys()
    if not larger:
        return found
    return replace(found, size=LARGER[next(iter(larger))], size_wide=None)


def published_of(config: SegmenterConfig) -> tuple[Publication, ...]:
    """Give what was published of a network's family."""
    if config.task_queries is not None:
        return ONEFORMERS
    masked = isinstance(config.transformer_decoder, MaskedDecoderConfig)
    return MASK2FORMERS if masked else MASKFORMERS


def panoptic_is_likely(config: SegmenterConfig) -> bool:
    """Say whether a network is panoptic, where semantic ones have the same labels.

    Of Mask2Formers only the panoptic ones have 200 queries there, of MaskFormers only they have an
    encoder in their pyramid.
    """
    pixels, queries = config.pixel_decoder, config.transformer_decoder
    if isinstance(queries, MaskedDecoderConfig):
        return queries.num_queries > 100
    return isinstance(pixels, FPNPixelDecoderConfig) and pixels.encoder is not None


def suited(publication: Publication, config: SegmenterConfig) -> Publication:
    """Leave a network that classifies pixels its one task."""
    if not is_per_pixel(config):
        return publication
    return replace(publication, task="semantic", tasks=("semantic",))


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
    """Give the publication whose labels these names are, Mask2Former's panoptic one in doubt."""
    labels = recognise(names)
    if config.task_queries is not None:
        return oneformer_of(labels, path)
    published = published_of(config)
    fits = [p for p in published if p.labels == labels] or [NOBODYS]
    panoptic = published is MASK2FORMERS or panoptic_is_likely(config)
    return suited(named_by(path, fits) or fits[-1 if panoptic else 0], config)


def publication_of_size(config: SegmenterConfig, path: Path) -> tuple[Publication, str | None]:
    """Give the publication that a file without names belongs to.

    Returns:
        The publication and, unless the path names it, a line for a person on what was assumed.
    """
    num_classes = config.num_classes
    fits = [suited(p, config) for p in published_of(config) if SIZES[p.labels] == num_classes]
    if not fits:
        return suited(NOBODYS, config), (
            f"{path} names no classes, and no published network has {num_classes}: they are "
            "called class 0, class 1, ... and counted as things"
        )
    if config.task_queries is not None:
        return oneformer_of(fits[0].labels, path), None
    named = named_by(path, fits)
    if named is not None:
        return named, None
    likely = fits[-1] if panoptic_is_likely(config) else fits[0]
    told = words("/".join(path.absolute().parts[-5:]))
    chosen = next((p for p in fits if p.task in told), likely)
    folder = f"{sorted(chosen.dataset)[-1]}/{chosen.task}/"
    return chosen, (
        f"{path} does not tell its classes: by their number, {num_classes}, it is taken as "
        f"{chosen.labels}, {chosen.task}; a folder such as {folder} would say so"
    )
