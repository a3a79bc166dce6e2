"""Tracker: links the segments of consecutive results, online and in constant memory."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unimask.errors import SettingsError
from unimask.results import Result
from unimask.tracking.association import assign
from unimask.tracking.compact_mask import subsampling_factor
from unimask.tracking.places import Places
from unimask.tracking.settings import TrackerSettings
from unimask.tracking.track import Observation, Track, stack_boxes, stack_sizes


class Tracker:
    """Linking of objects through consecutive results of equal size.

    Things are matched to tracks by overlap, motion, class and query embedding (Hungarian
    assignment): first to the tracks of the previous result, then to those that were missing, then
    to those that are not confirmed yet. Stuff, and each class of semantic results, has one id per
    class. Ids are never reused.

    Args:
        settings: When tracks begin and end, and the weights of the matching.

    Example:
        >>> import numpy as np
        >>> from unimask.formats.run_length import RunLength
        >>> from unimask.labels import LabelSet
        >>> from unimask.results import Result, Segment
        >>> labels, tracker = LabelSet(("cell",), (True,)), Tracker()
        >>> for column in (2, 3, 4):
        ...     mask = np.zeros((8, 16), bool)
        ...     mask[2:6, column : column + 6] = True
        ...     rle = RunLength.from_mask(mask)
        ...     segment = Segment.from_rle(labels, 0, rle, id=1, score=0.9)
        ...     result = tracker.update(Result("instance", (8, 16), labels, (segment,)))
        ...     print(result.segments[0].track_id)
        1
        1
        1
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.size: tuple[int, int] | None = None
        self.tracks: list[Track] = []
        self.places = Places()
        self.class_ids: dict[int, int] = {}
        self.last_id = 0

    def update(
        self,
        result: Result,
        embeddings: Sequence[Float[np.ndarray, " c"] | None] | None = None,
        step: float = 1.0,
    ) -> Result:
        """Add the next result and return it with the ids of its segments' tracks.

        Args:
            result: Result of the same height and width as those before.
            embeddings: Query embedding of each segment, if known.
            step: Distance from the previous result, in units of the usual distance.

        Returns:
            The result, whose segments have a `track_id`; it is None for objects whose track is not
            confirmed yet.

        Raises:
            SettingsError: The size differs, the step is not positive, or there are fewer or more
                embeddings than segments.
        """
        is_first = self.size is None
        self.check(result, embeddings, step)
        vectors = embeddings or [None] * len(result.segments)
        factor = subsampling_factor(result.size)
        observations = [
            Observation.from_segment(index, segment, factor, vector)
            for index, (segment, vector) in enumerate(zip(result.segments, vectors, strict=True))
            if segment.is_thing and result.task != "semantic" and segment.area
        ]
        matches = self.match(observations, step, factor)
        matches |= self.begin([item for item in observations if item.index not in matches])
        for track in matches.values():
            if track.id is None and (is_first or track.hits >= self.settings.birth_steps):
                track.id = self.new_id()
        self.remove_ended()
        ids = {index: track.id for index, track in matches.items()}
        return replace(
            result,
            segments=tuple(
                replace(
                    segment,
                    track_id=ids.get(index)
                    if segment.is_thing and result.task != "semantic"
                    else self.class_id(segment.label_id),
                )
                for index, segment in enumerate(result.segments)
            ),
        )

    def check(self, result: Result, embeddings: Sequence | None, step: float) -> None:
        """Check the arguments of `update`, and store the size of the first result."""
        if self.size is not None and result.size != self.size:
            raise SettingsError(
                f"a result of {result.size} pixels follows others of {self.size}: use a new Tracker"
            )
        if not step > 0:
            raise SettingsError(f"step {step} must be positive")
        if embeddings is not None and len(embeddings) != len(result.segments):
            raise SettingsError(
                f"{len(embeddings)} embeddings, but {len(result.segments)} segments: pass one each"
            )
        self.size = result.size

    def match(self, observations: list[Observation], step: float, factor: int) -> dict[int, Track]:
        """Continue tracks by observations; return the track of each matched segment's index."""
        groups: tuple[list[int], ...] = ([], [], [])
        for row, track in enumerate(self.tracks):
            track.missing += step
            groups[2 if track.id is None else int(track.missing > step)].append(row)
        self.places.predict(step)
        matches: dict[int, Track] = {}
        for group in groups:
            free = [item for item in observations if item.index not in matches]
            pairs = assign(self.tracks, self.places, group, free, self.settings, factor)
            matches |= self.continue_tracks([(row, free[column]) for row, column in pairs])
        return matches

    def continue_tracks(self, pairs: Sequence[tuple[int, Observation]]) -> dict[int, Track]:
        """Continue tracks by one observation each; return the track of each segment's index."""
        if not pairs:
            return {}
        rows, items = [row for row, _ in pairs], [item for _, item in pairs]
        sizes = self.places.sizes[rows].tolist()
        self.places.update(rows, stack_boxes(items), stack_sizes(items))
        for (row, item), size in zip(pairs, sizes, strict=True):
            self.tracks[row].update(item, size)
        return {item.index: self.tracks[row] for row, item in pairs}

    def begin(self, observations: Sequence[Observation]) -> dict[int, Track]:
        """Begin tracks with unmatched objects; return the track of each segment's index."""
        least = self.settings.birth_score
        items = [item for item in observations if item.score is None or item.score >= least]
        if not items:
            return {}
        tracks = [Track(item) for item in items]
        self.tracks += tracks
        self.places.append(stack_boxes(items), stack_sizes(items))
        return {item.index: track for item, track in zip(items, tracks, strict=True)}

    def remove_ended(self) -> None:
        """Remove tracks that were not seen, unless they may appear again in the image."""
        assert self.size is not None
        near = self.places.is_near(self.size).tolist()
        most = self.settings.max_missing
        rows = [
            row
            for row, track in enumerate(self.tracks)
            if not track.missing or (track.id is not None and track.missing <= most and near[row])
        ]
        if len(rows) < len(self.tracks):
            self.tracks = [self.tracks[row] for row in rows]
            self.places.keep(rows)

    def class_id(self, label_id: int) -> int:
        """Return the id of a class of stuff."""
        if label_id not in self.class_ids:
            self.class_ids[label_id] = self.new_id()
        return self.class_ids[label_id]

    def new_id(self) -> int:
        """Return the next id, from 1."""
        self.last_id += 1
        return self.last_id
