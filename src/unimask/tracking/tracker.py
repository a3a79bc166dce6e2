"""Tracker: links the segments of consecutive results, online and in constant memory."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unimask.errors import SettingsError
from unimask.results import Result
from unimask.tracking.association import assign
from unimask.tracking.compact_mask import subsampling_factor
from unimask.tracking.settings import TrackerSettings
from unimask.tracking.track import Observation, Track


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
        for item in observations:
            if item.index not in matches and self.may_begin(item):
                matches[item.index] = Track(item)
                self.tracks.append(matches[item.index])
        for track in matches.values():
            if track.id is None and (is_first or track.hits >= self.settings.birth_steps):
                track.id = self.new_id()
        self.tracks = [track for track in self.tracks if self.is_alive(track)]
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
        for track in self.tracks:
            track.predict(step)
        recent = [t for t in self.tracks if t.id is not None and t.missing <= step]
        missing = [t for t in self.tracks if t.id is not None and t.missing > step]
        tentative = [t for t in self.tracks if t.id is None]
        matches: dict[int, Track] = {}
        for group in (recent, missing, tentative):
            free = [item for item in observations if item.index not in matches]
            for row, column in assign(group, free, self.settings, factor):
                group[row].update(free[column])
                matches[free[column].index] = group[row]
        return matches

    def may_begin(self, item: Observation) -> bool:
        """Return whether an unmatched object begins a track."""
        return item.score is None or item.score >= self.settings.birth_score

    def is_alive(self, track: Track) -> bool:
        """Return whether a track continues: it was seen, or may appear again in the image."""
        if not track.missing:
            return True
        if track.id is None or track.missing > self.settings.max_missing:
            return False
        assert self.size is not None
        (x, y), reach = track.motion.position.tolist(), track.size / 2
        return -reach <= x <= self.size[1] + reach and -reach <= y <= self.size[0] + reach

    def class_id(self, label_id: int) -> int:
        """Return the id of a class of stuff."""
        if label_id not in self.class_ids:
            self.class_ids[label_id] = self.new_id()
        return self.class_ids[label_id]

    def new_id(self) -> int:
        """Return the next id, from 1."""
        self.last_id += 1
        return self.last_id
