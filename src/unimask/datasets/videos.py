"""Videos of a dataset: which of its images are the frames of which video."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from unimask.datasets.interface import Dataset
from unimask.datasets.splits import Subset


class Video(NamedTuple):
    """Video whose objects keep their ids (`Sample.track_ids`) in all frames.

    Attributes:
        name: Name of the video, that of the folder of its frames.
        id: Id in the label file; the name if it has none.
        frames: Index of the image of each labelled frame, in the order of time.
    """

    name: str
    id: Hashable
    frames: tuple[int, ...]


@runtime_checkable
class HasVideos(Protocol):
    """Dataset whose labels identify objects through videos; without videos if these do not."""

    videos: Sequence[Video]


def find_videos(dataset: Dataset) -> list[Video]:
    """Return the videos of a dataset, with the frames that a subset has; none for images."""
    if isinstance(dataset, Subset):
        places = {index: place for place, index in enumerate(dataset.indices)}
        videos = [
            video._replace(frames=tuple(places[i] for i in video.frames if i in places))
            for video in find_videos(dataset.dataset)
        ]
        return [video for video in videos if video.frames]
    return list(dataset.videos) if isinstance(dataset, HasVideos) else []


def group_frames(paths: Sequence[Path]) -> list[Video]:
    """Return the images of each folder as a video, in the order of the numbers in their names."""
    folders: defaultdict[Path, list[int]] = defaultdict(list)
    for index, path in enumerate(paths):
        folders[path.parent].append(index)
    return [
        Video(folder.name, folder.name, tuple(sorted(group, key=lambda i: frame_key(paths[i]))))
        for folder, group in folders.items()
    ]


def frame_key(path: Path) -> tuple[int, str]:
    """Return a key that sorts frames by the number at the end of their names."""
    stem = path.stem
    digits = stem[len(stem.rstrip("0123456789")) :]
    return (int(digits) if digits.isascii() and digits else -1, stem)
