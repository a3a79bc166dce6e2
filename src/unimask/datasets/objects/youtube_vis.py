"""Read YouTube-VIS: a JSON with the masks of objects in all frames of videos; frames are images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from unimask.datasets.image_files import find_images
from unimask.datasets.interface import (
    ALL_IMAGES,
    DatasetOptions,
    DetectedDataset,
    UnlabelledError,
    add_notes,
)
from unimask.datasets.objects.coco_instances import CocoInstances, build_instances
from unimask.datasets.objects.coco_reader import CocoReader
from unimask.datasets.objects.coco_records import CocoRecord, parse_side_length
from unimask.datasets.objects.collector import detect_splits, group_by_split_or_name
from unimask.datasets.objects.json_kinds import find_json_files, is_youtube_vis
from unimask.datasets.splits import split_from_name
from unimask.datasets.videos import Video
from unimask.errors import DataError
from unimask.formats.json_stream import stream_lists
from unimask.formats.json_values import (
    Flag,
    Id,
    JsonValueError,
    Number,
    convert_record,
    normalize_id,
)

FORMAT = "YouTube-VIS"

FRAME_FOLDER = "JPEGImages"
"""Folder that holds a folder of frames for each video."""


class VideoRecord(CocoRecord):
    """Video with the names of its frames; height and width are 0 if the file lacks them."""

    id: Id
    file_names: list[str]
    height: Number = None
    width: Number = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {
        "id": normalize_id,
        "height": parse_side_length,
        "width": parse_side_length,
    }


class Track(CocoRecord):
    """Object in a video, with a mask in each frame where it is visible."""

    id: Id
    video_id: Id
    category_id: Id
    segmentations: list[Any]
    bboxes: list[Any] | None = None
    areas: list[Any] | None = None
    iscrowd: Flag = None

    NORMAL_FORM: ClassVar[dict[str, Any]] = {"id": normalize_id, "video_id": normalize_id}


def find_youtube_vis(folder: Path) -> DetectedDataset | None:
    """Detect JSON files of YouTube-VIS in the folder and below it; they may be splits."""
    files = find_json_files(folder, is_youtube_vis)
    return detect_splits(
        FORMAT,
        folder,
        files,
        open_youtube_vis,
        "lists videos with their frames",
        group=group_by_split_or_name,
    )


def open_youtube_vis(
    folder: Path, splits: Mapping[str, Sequence[Path]], split: str, options: DatasetOptions
) -> CocoInstances:
    """Open the frames of all videos of a split as images, sorted by name.

    Args:
        folder: Folder of the dataset.
        splits: Files of each split.
        split: Name of the split to open.
        options: Options with the images' channels.

    Raises:
        DataError: The file is malformed, or a frame is missing.
        UnlabelledError: The file lists no objects.
    """
    file, *others = splits[split]
    if others:
        name = "the folder" if split == ALL_IMAGES else split
        raise DataError(
            f"{folder} has {file.name} and {others[0].name} for {name}: keep one, or call them "
            "train.json and val.json"
        )
    reader = CocoReader(file)
    lengths = read_videos(reader)
    if not reader.objects.labels:
        raise UnlabelledError(f"{file} lists videos, but no objects: add the JSON that has them")
    reader.check()
    images = sorted(reader.images, key=lambda number: reader.images[number][0])
    files = find_images(
        [reader.images[number][0] for number in images], frame_folders(folder, file, split), file
    )
    dataset = build_instances(reader, FORMAT, folder.absolute().name, images, files, options)
    dataset.videos = locate_frames(dataset, lengths)
    add_notes(dataset, ["each frame is an image"])
    return dataset


def frame_folders(folder: Path, file: Path, split: str) -> list[Path]:
    """Return the folders that may hold the frames, the likeliest first."""
    names = [file.stem, split, split_from_name(file.stem) or split, "valid"]
    places = [place / name for place in (file.parent, folder) for name in dict.fromkeys(names)]
    places = [*places, file.parent, folder]
    return [folder for place in places for folder in (place / FRAME_FOLDER, place)]


def locate_frames(dataset: CocoInstances, lengths: Mapping[Id, int]) -> list[Video]:
    """Return the videos of the dataset from their numbers of frames."""
    places = {id: place for place, id in enumerate(dataset.image_ids)}
    videos = []
    for id, length in lengths.items():
        frames = tuple(places[frame_id(id, frame)] for frame in range(length))
        if frames:
            videos.append(Video(dataset.paths[frames[0]].parent.name, id, frames))
    return videos


def read_videos(reader: CocoReader) -> dict[Id, int]:
    """Read the videos, objects and categories of a file, in whatever order its lists come.

    Returns:
        Number of frames of each video, by its id.

    Raises:
        DataError: The file is malformed.
    """
    counts: Counter[str] = Counter()
    lengths: dict[Id, int] = {}
    for key, item in stream_lists(reader.path, ("videos", "annotations", "categories")):
        if key == "categories":
            reader.read_item(key, item)
        elif item is not None:  # files without ground truth have null instead of annotations
            place = f"{key}[{counts[key]}]"
            try:
                if key == "videos":
                    video = convert_record(item, VideoRecord, place)
                    add_video(reader, video)
                    lengths[video.id] = len(video.file_names)
                else:
                    add_track(reader, convert_record(item, Track, place), counts[key])
            except JsonValueError as error:
                raise DataError(f"{reader.path}: {error}; export it again") from None
        counts[key] += 1
    return lengths


def frame_id(video: Id, frame: int) -> str:
    """Return the id of a frame as an image."""
    return f"{video}, frame {frame}"


def add_video(reader: CocoReader, video: VideoRecord) -> None:
    """Add the frames of a video as images.

    Raises:
        DataError: A name is invalid.
    """
    size = {"height": video.height, "width": video.width}
    for frame, name in enumerate(video.file_names):
        reader.read_item("images", {"id": frame_id(video.id, frame), "file_name": name, **size})


def add_track(reader: CocoReader, track: Track, number: int) -> None:
    """Add an object in all frames where it is visible; `number` is its id if the file's is text.

    Raises:
        DataError: A mask is damaged.
    """
    for frame, mask in enumerate(track.segmentations):
        if mask:
            fields = {"bbox": track.bboxes, "area": track.areas}
            reader.read_item(
                "annotations",
                {
                    "id": track.id if isinstance(track.id, int) and track.id >= 0 else number,
                    "image_id": frame_id(track.video_id, frame),
                    "category_id": track.category_id,
                    "segmentation": mask,
                    "iscrowd": track.iscrowd,
                    **{
                        key: values[frame]
                        for key, values in fields.items()
                        if values and frame < len(values)
                    },
                },
            )
