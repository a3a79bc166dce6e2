"""Segmentation of videos by networks that segment clips, in bounded memory."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unimask.errors import ImageError, SettingsError
from unimask.inference.pipeline import Pipeline
from unimask.kernels.mask_product import mask_logits
from unimask.modeling.layers.masks import MaskFeatures
from unimask.modeling.pixel_decoders import PixelDecoderOutput
from unimask.outputs import FactoredOutput
from unimask.processing.clips import segment_clip
from unimask.processing.images import MAX_PIXELS
from unimask.processing.multichannel import to_displayable
from unimask.processing.preprocess import Preprocessed
from unimask.processing.resize import Resizer
from unimask.results import Result, Segment
from unimask.results.clip_object import ClipObject
from unimask.tracking import ClipSettings
from unimask.tracking.clip_linker import ClipLinker
from unimask.video import Frame, TrackedFrame

if TYPE_CHECKING:
    from unimask.modeling.segmenter import Segmenter


class FrameMaps:
    """Maps of the frames of a clip, which the transformer decoder reads without copying them.

    Args:
        capacity: Largest number of frames.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.count = capacity, 0
        self.maps: list[Tensor] = []
        self.projection: torch.nn.Conv2d | None = None

    def append(self, pixels: PixelDecoderOutput) -> None:
        """Add the maps of a frame."""
        parts = (pixels.mask_features.maps, *pixels.multi_scale_features)
        self.projection = pixels.mask_features.projection
        if not self.maps:
            self.maps = [
                part.new_empty(self.capacity, *part.shape[1:]).contiguous(
                    memory_format=torch.channels_last
                )
                for part in parts
            ]
        for maps, part in zip(self.maps, parts, strict=True):
            maps[self.count] = part[0]
        self.count += 1

    def keep_last(self, count: int) -> None:
        """Remove all frames but the last ones."""
        for maps in self.maps:
            last = maps[self.count - count : self.count]
            maps[:count] = last if 2 * count <= self.count else last.clone()
        self.count = count

    def output(self) -> PixelDecoderOutput:
        """Return the maps of all frames."""
        features, *multi_scale = (maps[: self.count] for maps in self.maps)
        return PixelDecoderOutput(
            MaskFeatures(features, self.projection), tuple(multi_scale), multi_scale[0]
        )


@dataclass(frozen=True, eq=False)
class WaitingFrame:
    """Frame whose clip is not complete.

    Attributes:
        frame: The frame.
        speed: Milliseconds of its pre-processing and of its part of the network.
    """

    frame: Frame
    speed: dict[str, float]


class ClipSegmenter:
    """Segmentation of the frames of a video by clips, whose objects keep their ids.

    Frames that two clips share are taken from the earlier clip in their first half, and from the
    later one in the second.

    Args:
        model: Model with a network that segments clips.
        threshold: Minimum score, 0 to 1.
        settings: Length and overlap of clips.

    Raises:
        SettingsError: The model is compiled.
    """

    def __init__(self, model: Pipeline, threshold: float | None, settings: ClipSettings) -> None:
        if model.compiled is not None:
            raise SettingsError(f"{model.name} segments clips: load it without compile")
        self.model, self.settings = model, settings
        self.threshold = model.min_score("instance", threshold)
        self.linker = ClipLinker()
        self.waiting: list[WaitingFrame] = []
        self.sizes: Preprocessed | None = None
        self.maps = FrameMaps(0)
        self.length = self.overlap = self.shared = self.first = 0
        self.results: list[Result] = []
        """Results of the frames from `first` on, of the clip before."""

    def track(self, frames: Generator[Frame]) -> Generator[TrackedFrame]:
        """Segment a video, and yield its frames when their clip is complete.

        Raises:
            ImageError: A frame has another size than those before.
        """
        with closing(frames):
            for frame in frames:
                self.add(frame)
                del frame
                if len(self.waiting) == self.length:
                    self.segment()
                    yield from self.finished(self.length - self.overlap // 2)
                    self.start_next()
        if len(self.waiting) > self.shared:
            self.segment()
        yield from self.finished(len(self.waiting))

    @torch.inference_mode()
    def add(self, frame: Frame) -> None:
        """Compute and store the maps of a frame."""
        pending = self.model.prepare(frame.image, None, MAX_PIXELS)
        sizes = pending.preprocessed
        if self.sizes is None:
            pixels = sizes.padded_size[0] * sizes.padded_size[1]
            self.length, self.overlap = self.settings.resolve(pixels, frame.image.nbytes)
            self.maps = FrameMaps(self.length)
            # Without its pixels, which are not needed again.
            self.sizes = sizes._replace(pixel_values=sizes.pixel_values[:, :0])
        elif sizes.original_size != self.sizes.original_size:
            (height, width), (first_height, first_width) = (
                sizes.original_size,
                self.sizes.original_size,
            )
            raise ImageError(
                f"{frame.name or f'frame {frame.index}'} is {height} x {width}, but the frames "
                f"before are {first_height} x {first_width}: frames of a video have one size"
            )
        start = time.perf_counter()
        pixel_values = sizes.pixel_values[None].to(self.model.device, self.model.dtype)
        self.maps.append(self.network.encode(pixel_values))
        milliseconds = 1000 * (time.perf_counter() - start)
        speed = {"preprocess": pending.milliseconds, "network": milliseconds}
        self.waiting.append(WaitingFrame(frame, speed))

    @property
    def network(self) -> "Segmenter":
        """The network."""
        return self.model.network

    @torch.inference_mode()
    def segment(self) -> None:
        """Segment the clip of all waiting frames."""
        start = time.perf_counter()
        output = self.network.decode_clips(
            self.maps.output(), self.maps.count, auxiliary=False, factored=True
        )
        assert isinstance(output, FactoredOutput)
        decoded = time.perf_counter()
        objects = self.objects(output)
        ids = self.linker.link(objects, self.shared)
        frames = len(self.waiting)
        network = 1000 * (decoded - start) / frames
        postprocess = 1000 * (time.perf_counter() - decoded) / frames
        self.results = []
        for place in range(self.first, frames):
            item = self.waiting[place]
            speed = {
                "preprocess": item.speed["preprocess"],
                "network": item.speed["network"] + network,
                "postprocess": postprocess,
            }
            result = self.frame_result(objects, ids, place)
            image = to_displayable(item.frame.image)
            self.results.append(replace(result, image=image, speed=speed))

    def objects(self, output: FactoredOutput) -> list[ClipObject]:
        """Select the objects of a clip, and compute their masks frame by frame."""
        assert self.sizes is not None
        class_logits = output.class_logits[-1][0]
        factors = output.masks
        first = factors.embed.shape[1] - len(class_logits)

        def frame_masks(queries: Tensor) -> Iterator[Tensor]:
            rows = queries + first
            for place in range(len(factors.features)):
                frame = slice(place, place + 1)
                parts = factors.embed[frame, rows], factors.bias[frame, rows]
                yield mask_logits(*parts, factors.features[frame])[0]

        height, width = factors.features.shape[-2:]
        sizes = self.sizes
        return segment_clip(
            class_logits,
            frame_masks,
            Resizer.between(
                (height, width), sizes.padded_size, sizes.input_size, sizes.original_size
            ),
            self.model.is_thing,
            self.model.description.postprocessing.top_k,
            self.threshold,
        )

    def frame_result(self, objects: list[ClipObject], ids: list[int], place: int) -> Result:
        """Return the result of a frame: the objects that are visible in it."""
        assert self.sizes is not None
        labels, segments = self.model.description.labels, []
        for item, track in zip(objects, ids, strict=True):
            rle = item.masks[place]
            if rle.area:
                segment = Segment.from_rle(
                    labels,
                    item.label_id,
                    rle,
                    id=len(segments) + 1,
                    score=item.score,
                    queries=(item.query,),
                )
                segments.append(replace(segment, track_id=track))
        return Result("instance", self.sizes.original_size, labels, tuple(segments))

    def finished(self, end: int) -> Iterator[TrackedFrame]:
        """Yield the waiting frames with results, up to a place in the clip."""
        for place in range(self.first, end):
            frame, result = self.waiting[place].frame, self.results[place - self.first]
            age = None if frame.received is None else time.monotonic() - frame.received
            yield TrackedFrame(frame.index, frame.time, frame.image, result, age, frame.name)

    @torch.inference_mode()
    def start_next(self) -> None:
        """Start the next clip with the frames that it shares with the one before."""
        self.results = self.results[len(self.results) - self.overlap // 2 :]
        self.maps.keep_last(self.overlap)
        self.waiting = self.waiting[-self.overlap :]
        self.shared, self.first = self.overlap, self.overlap - self.overlap // 2
