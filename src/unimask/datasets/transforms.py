"""Augmentation; each function draws random numbers only from the generator that it receives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageFilter

from unimask.config import PreprocessingConfig
from unimask.datasets.sample import Sample
from unimask.datasets.stains import change_stains
from unimask.processing.preprocess import input_size, resize_image, stretch_intensities

ImageArray = UInt8[np.ndarray, "h w c"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Settings of random changes to training images.

    Attributes:
        crop: Side of the square crop, in pixels.
        min_scale: Minimum scale, relative to the image size used for prediction.
        max_scale: Maximum scale (large-scale jitter).
        flip: Whether to flip images horizontally with probability 0.5. Classes of the left and the
            right side, such as `left_door` and `right_door`, are exchanged.
        rotate: Whether to rotate by random right angles and flip vertically, for images without an
            up direction.
        colour: Maximum relative change of brightness, contrast and saturation.
        gamma: Maximum absolute logarithm of the exponent applied to intensities.
        invert: Probability of inverting the intensities.
        grey: Probability of converting to greyscale.
        stain: Maximum relative change of the amount of each stain, for microscopy of stained
            tissue; grey images are not changed.
        noise: Maximum standard deviation of Gaussian noise, in grey values.
        blur: Maximum radius of Gaussian blur, in pixels.
    """

    crop: int = 512
    min_scale: float = 0.5
    max_scale: float = 2.0
    flip: bool = True
    rotate: bool = False
    colour: float = 0.3
    gamma: float = 0.0
    invert: float = 0.0
    grey: float = 0.0
    stain: float = 0.0
    noise: float = 0.0
    blur: float = 0.0


def augment(
    sample: Sample,
    settings: Augmentation,
    preprocessing: PreprocessingConfig,
    random: np.random.Generator,
    mirrored_ids: Sequence[int] | None = None,
) -> Sample:
    """Return a random square crop of the sample with random changes.

    The crop has a side of `settings.crop` pixels. Where the image is smaller, it is padded with the
    mean colour, as in prediction, and the padding is ignored in the loss.

    Args:
        sample: Image with its labels.
        settings: Settings of the changes.
        preprocessing: Size of prediction, mean colour, and whether contrast is stretched.
        random: Source of all random numbers.
        mirrored_ids: Label id of each class in the mirrored image, as of
            `unimask.label_sides.mirrored_label_ids`; None if mirroring changes no class.
    """
    if preprocessing.stretch:
        sample = replace(sample, image=stretch_intensities(sample.image))
    sample = random_crop(sample, settings, preprocessing, random)
    if settings.flip and random.random() < 0.5:
        sample = transform_arrays(sample, lambda array: array[:, ::-1])
        sample = exchange_sides(sample, mirrored_ids)
    if settings.rotate:
        turns, mirrored = int(random.integers(4)), random.random() < 0.5
        sample = transform_arrays(
            sample, lambda array: np.rot90(array[::-1] if mirrored else array, turns)
        )
        sample = exchange_sides(sample, mirrored_ids if mirrored else None)
    sample = replace(sample, image=change_colours(sample.image, settings, random))
    return pad(sample, settings.crop, preprocessing.mean)


def random_crop(
    sample: Sample,
    settings: Augmentation,
    preprocessing: PreprocessingConfig,
    random: np.random.Generator,
) -> Sample:
    """Scale and crop in one step, so that only pixels inside the crop are resized."""
    height, width = sample.size
    jitter = np.exp(random.uniform(np.log(settings.min_scale), np.log(settings.max_scale)))
    natural = input_size((height, width), preprocessing)
    scaled_height = max(1, round(natural[0] * jitter))
    scaled_width = max(1, round(natural[1] * jitter))
    top, rows = random_span(scaled_height, settings.crop, random)
    left, columns = random_span(scaled_width, settings.crop, random)
    per_row, per_column = height / scaled_height, width / scaled_width
    box = (
        left * per_column,
        top * per_row,
        min((left + columns) * per_column, width),
        min((top + rows) * per_row, height),
    )
    shape = (rows, columns)
    image = np.array(resize_image(sample.image, shape, box))
    id_maps = np.stack([resize_map(ids, box, shape) for ids in sample.id_maps])
    ignored = None
    if sample.ignored is not None:
        ignored = resize_map(sample.ignored.astype(np.uint8), box, shape) > 0
    # Areas from files and foreign objects are used only to score whole images.
    return replace(sample, image=image, id_maps=id_maps, ignored=ignored, areas=None, foreign=None)


def random_span(length: int, crop: int, random: np.random.Generator) -> tuple[int, int]:
    """Draw start and length of a random span of at most `crop`."""
    if length <= crop:
        return 0, length
    return int(random.integers(length - crop + 1)), crop


def resize_map(
    ids: np.ndarray, box: tuple[float, float, float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Resize part of a map of numbers with nearest-neighbour sampling."""
    image = Image.fromarray(np.ascontiguousarray(ids))
    return np.array(image.resize((shape[1], shape[0]), Image.Resampling.NEAREST, box))


def pad(sample: Sample, side: int, colour: tuple[float, ...]) -> Sample:
    """Pad to a square at the bottom and right; the padding is ignored."""
    height, width = sample.size
    if height == side and width == side:
        return sample
    ignored = np.ones((side, side), bool)
    ignored[:height, :width] = False if sample.ignored is None else sample.ignored
    image = np.empty((side, side, sample.image.shape[2]), np.uint8)
    image[:] = np.rint(colour)
    image[:height, :width] = sample.image
    return replace(
        sample,
        image=image,
        id_maps=np.pad(sample.id_maps, ((0, 0), (0, side - height), (0, side - width))),
        ignored=ignored,
    )


def transform_arrays(sample: Sample, transform: Callable[[np.ndarray], np.ndarray]) -> Sample:
    """Apply `transform` to the first two axes of the image and of each map."""
    return replace(
        sample,
        image=np.ascontiguousarray(transform(sample.image)),
        id_maps=np.stack([np.ascontiguousarray(transform(ids)) for ids in sample.id_maps]),
        ignored=None if sample.ignored is None else np.ascontiguousarray(transform(sample.ignored)),
    )


def exchange_sides(sample: Sample, mirrored_ids: Sequence[int] | None) -> Sample:
    """Exchange the classes of the left and the right side, after mirroring."""
    if mirrored_ids is None:
        return sample
    return replace(sample, label_ids=np.asarray(mirrored_ids)[sample.label_ids])


def change_colours(
    image: ImageArray, settings: Augmentation, random: np.random.Generator
) -> ImageArray:
    """Change stains, tone, colour, noise and sharpness; colours change in RGB images only."""
    coloured = image.shape[2] == 3
    if settings.stain and coloured:
        image = change_stains(image, settings.stain, random)
    image = change_tones(image, settings, random)
    if settings.colour and coloured:
        factor = 1 + random.uniform(-settings.colour, settings.colour)
        image = np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))
    if random.random() < settings.grey and coloured:
        image = np.asarray(Image.fromarray(image).convert("L").convert("RGB"))
    if settings.blur and random.random() < 0.3:
        radius = random.uniform(0, settings.blur)
        image = blur_channels(image, radius)
    if settings.noise and random.random() < 0.3:
        deviation = random.uniform(0, settings.noise)
        noise = random.standard_normal(image.shape, np.float32) * deviation
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def blur_channels(image: ImageArray, radius: float) -> ImageArray:
    """Blur each channel."""
    blur = ImageFilter.GaussianBlur(radius)
    layers = [np.asarray(Image.fromarray(layer).filter(blur)) for layer in np.moveaxis(image, 2, 0)]
    return np.stack(layers, axis=2)


def change_tones(
    image: ImageArray, settings: Augmentation, random: np.random.Generator
) -> ImageArray:
    """Change brightness, contrast and gamma, or invert, by one lookup table of 256 values."""
    values = np.arange(256) / 255
    if settings.gamma:
        values = values ** np.exp(random.uniform(-settings.gamma, settings.gamma))
    if settings.colour:
        brightness = 1 + random.uniform(-settings.colour, settings.colour)
        contrast = 1 + random.uniform(-settings.colour, settings.colour)
        centre = image.mean() / 255
        values = (values * brightness - centre) * contrast + centre
    if random.random() < settings.invert:
        values = 1 - values
    table = np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
    return table[image]
