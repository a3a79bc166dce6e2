"""Method of predictors that segments volumes slice by slice."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unimask.errors import SettingsError
from unimask.inference.pipeline import Pipeline
from unimask.labels import Task
from unimask.processing.arguments import check_count, check_fraction
from unimask.processing.images import MAX_PIXELS
from unimask.processing.intensities import UINT8_WINDOW
from unimask.results import Result

if TYPE_CHECKING:
    from unimask.tracking import TrackerSettings
    from unimask.volumes import Volume, VolumeResult
    from unimask.volumes.planes import Axis, Plane

Progress = Callable[[int, int], None]
"""Function that is called with the number of slices that are done, and their total."""


class VolumeMixin(Pipeline):
    """Method that segments volumes slice by slice."""

    def predict_volume(
        self,
        source: "str | Path | Volume | Sequence[str | Path | Volume]",
        task: str | None = None,
        *,
        axis: "Axis" = "auto",
        window: str | Sequence[float] | None = None,
        window_center: float | None = None,
        window_width: float | None = None,
        threshold: float | None = None,
        batch_size: int = 1,
        series: str | int | None = None,
        settings: "TrackerSettings | None" = None,
        progress: Progress | None = None,
    ) -> "VolumeResult":
        """Segment a volume slice by slice, and link objects through the slices.

        Each slice is segmented alone, as `predict` does: the network is two-dimensional, and sees
        other slices only if it was trained with neighbouring slices as channels. Slices are
        displayed as in radiology, whatever the order of the voxels in the file, so that a DICOM
        series and its NIfTI file get the same labels.

        Args:
            source: NIfTI, folder of DICOM files, DICOM file with several frames, NRRD, TIFF stack,
                or a `Volume` that was opened before. A list holds the images of one case, such as
                sequences of an MRI, for a model that was trained on several; all on one grid.
            task: "semantic", "instance" or "panoptic"; by default the model's most general task.
            axis: Direction of slicing: "axial", "coronal", "sagittal", the index of an axis of the
                array, or "auto" for the axis with the largest spacing.
            window: Values that become black and white; a preset for CT such as "lung", "bone" or
                "brain" (`unimask.volumes.windows.PRESETS`); "auto" for the 0.1 and 99.9
                percentiles of the volume, or "z-score" for its mean minus and plus 4 standard
                deviations. By default that of the training, if any; else 8-bit values stay as they
                are and others are mapped by "auto".
            window_center: Centre of the window as in DICOM, instead of `window`.
            window_width: Width of the window as in DICOM.
            threshold: See `predict`.
            batch_size: Largest number of slices per forward pass.
            series: DICOM: number from 1 or UID of the series, if a folder holds several.
            settings: Settings of the tracker. By default objects get their number in the first
                slice, and may be missing in one slice.
            progress: Function called with the number of segmented slices and their total.

        Returns:
            Label maps on the grid of the volume, and volumes in ml; see `VolumeResult.save`.

        Raises:
            DataError: Images of a case have different grids.
            ImageError: The source cannot be read, or is no regular grid of grey values.
            MissingExtraError: A package of the extra `medical` is not installed.
            SettingsError: An option is out of range, or the model reads another number of channels.
            TaskError: The model was not trained for the task.

        Example:
            >>> import unimask
            >>> model = unimask.load("runs/organs")  # doctest: +SKIP
            >>> result = model.predict_volume("ct.nii.gz", window="abdomen")  # doctest: +SKIP
            >>> result.save("out")  # doctest: +SKIP
        """
        # Imported here because predictions of images do not need them.
        from unimask.volumes import Volume, open_volume
        from unimask.volumes.grid import on_one_grid
        from unimask.volumes.planes import choose_plane
        from unimask.volumes.slice_images import iterate_slices
        from unimask.volumes.volume import check_geometry
        from unimask.volumes.windows import WindowOptions, choose_window, count_undefined

        resolved_task = self.resolve_task(task)
        check_fraction("threshold", threshold, optional=True)
        check_count("batch_size", batch_size)
        options = WindowOptions(window, window_center, window_width)
        rules = self.description.preprocessing
        sources = [source] if isinstance(source, str | Path | Volume) else list(source)
        self.check_sources(len(sources), rules.slices)
        volumes = on_one_grid(
            [
                check_geometry(each) if isinstance(each, Volume) else open_volume(each, series)
                for each in sources
            ]
        )
        plane = choose_plane(volumes[0].affine, axis)
        limits = [choose_window(each, options, rules.window) for each in volumes]
        for each in volumes:
            count_undefined(each)
        slices = iterate_slices(
            [plane.view(each.values) for each in volumes],
            limits,
            [each.is_inverted for each in volumes],
            rules.slices,
            self.channels,
        )
        results = self.segment_slices(slices, resolved_task, threshold, batch_size)
        linked = link_slices(results, resolved_task, settings)
        return self.collect_slices(
            linked, volumes[0], plane, limits[0], resolved_task, progress or ignore_progress
        )

    def check_sources(self, count: int, slices: int) -> None:
        """Test that the network has the channels of some images with neighbouring slices.

        Raises:
            SettingsError: It has others.
        """
        from unimask.volumes.slice_images import count_channels

        expected = count_channels(slices, count)
        if not count or self.channels not in (expected, slices * count):
            noun = "image" if count == 1 else "images"
            raise SettingsError(
                f"{self.name} reads images of {self.channels} channels: {count} {noun} of a case "
                f"with {slices} neighbouring slices need a model of {expected}"
            )

    def segment_slices(
        self,
        slices: Iterator[np.ndarray],
        task: Task,
        threshold: float | None,
        batch_size: int,
    ) -> Iterator[Result]:
        """Segment slices that are displayed as RGB, in batches."""
        while group := list(islice(slices, batch_size)):
            batch = [self.prepare(each, UINT8_WINDOW, MAX_PIXELS) for each in group]
            yield from self.run(batch, task, threshold, retain_confidence=False)

    def collect_slices(
        self,
        results: Iterator[Result],
        volume: "Volume",
        plane: "Plane",
        limits: tuple[float, float] | None,
        task: Task,
        progress: Progress,
    ) -> "VolumeResult":
        """Collect the results of slices in maps on the grid of the volume."""
        from unimask.volumes.labelled_volume import (
            LabelPainter,
            class_values,
            measure_classes,
            measure_objects,
            smallest_dtype,
        )
        from unimask.volumes.result import VolumeResult

        labels = self.description.labels
        classes = np.zeros(volume.shape, smallest_dtype(max(class_values(labels))))
        objects = None if task == "semantic" else np.zeros(volume.shape, np.int32)
        view = None if objects is None else plane.view(objects)
        painter = LabelPainter(labels, plane.view(classes), view)
        speed: Counter[str] = Counter()
        for position, result in enumerate(results):
            painter.add(position, result)
            speed.update(result.speed)
            progress(position + 1, len(painter.classes))
        structures = measure_classes(classes, labels, volume.voxel_ml, plane.axis)
        if objects is not None:
            objects = objects.astype(smallest_dtype(len(painter.numbers)))
            structures += measure_objects(objects, painter, volume.voxel_ml, plane.axis)
        return VolumeResult(
            task, labels, volume, plane, limits, classes, objects, tuple(structures), dict(speed)
        )


def link_slices(
    results: Iterator[Result], task: Task, settings: "TrackerSettings | None"
) -> Iterator[Result]:
    """Yield the results of consecutive slices, whose things have a `track_id` unless semantic."""
    if task == "semantic":
        yield from results
        return
    from unimask.tracking import Tracker, TrackerSettings

    tracker = Tracker(settings or TrackerSettings(birth_steps=1, birth_score=0.0, max_missing=1))
    for result in results:
        yield tracker.update(result)


def ignore_progress(done: int, total: int) -> None:
    """Ignore the progress."""
