"""Tracks of things in files: YouTube-VIS JSON and MOTS text."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unimask.datasets import Dataset
from unimask.datasets.objects.mots_text import is_mots_text, parse_line
from unimask.datasets.videos import Video
from unimask.errors import DataError, SettingsError
from unimask.evaluation.result_files.json_file import read_json
from unimask.evaluation.result_files.source import dataset_categories
from unimask.formats.json_values import Id, JsonValueError, abbreviate, normalize_id
from unimask.formats.output_folder import RECORD_NAME
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet

MOTS_ENDING = "_mots"
"""End of the stems of files that `unimask track` writes: it counts frames and labels itself."""


class TrackMask(NamedTuple):
    """Mask of a track in one frame; `origin` names it in messages."""

    track: int
    label_id: int
    score: float
    rle: RunLength
    origin: str


VideoTracks = dict[int, list[TrackMask]]
"""Masks of the tracks in each frame with any, by the number of the frame in its video."""


class TrackEntry(NamedTuple):
    """Fields of a track in YouTube-VIS JSON that are read."""

    video: Hashable
    category: Id
    score: float
    segmentations: list[Any]


def read_tracks(
    path: Path, dataset: Dataset, videos: Sequence[Video], categories: str | None
) -> tuple[dict[Hashable, VideoTracks], list[str]]:
    """Read tracks of things for the videos of a dataset.

    YouTube-VIS JSON is a list of results with `video_id`, or an object with `videos` and
    `annotations`, as `unimask track` writes it: videos are matched by the folder of their frames,
    and classes by name. A MOTS text file is named like its video. Frames are numbered as their
    files, or from 0 in files of `unimask track` (`VIDEO_mots.txt`).

    Args:
        path: File, or folder with a file for each video.
        dataset: Dataset with the ground truth.
        videos: Its videos.
        categories: Numbering of classes that have no name: "data" (category ids of the data) or
            "labels" (label ids from 0; in MOTS text from 1); None for the labels in files of
            `unimask track`, else the data's.

    Returns:
        Tracks of each video that has any, by its id, and notes.

    Raises:
        DataError: A file cannot be read, or none belongs to a video.
        SettingsError: The numbering is unknown.
    """
    if categories not in (None, "data", "labels"):
        raise SettingsError(f"unknown categories {categories!r}: choose data or labels")
    files = find_files(path)
    tracks: dict[Hashable, VideoTracks] = {}
    left_out: list[str] = []
    for file in files:
        if file.suffix.lower() == ".json":
            found, unknown = read_youtube_vis(file, dataset, videos, categories)
        else:
            found, unknown = read_mots(file, dataset, videos, categories)
        if repeated := next((id for id in found if id in tracks), None):
            raise DataError(f"{path} has two files for video {repeated}: keep one")
        tracks |= found
        left_out += unknown
    if not tracks:
        names = ", ".join(video.name for video in videos[:4])
        raise DataError(
            f"{path} has no tracks of any of the {len(videos)} videos ({names}, ...): name files "
            "and videos like the folders of the frames, and check --split"
        )
    return tracks, left_out


def find_files(path: Path) -> list[Path]:
    """Return the files of tracks: the file itself, or those in a folder.

    Raises:
        DataError: There are none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} does not exist: pass the file or the folder of the results")
    lists = [file for file in sorted(path.glob("*.json")) if file.name != RECORD_NAME]
    files = lists or [p for p in sorted(path.glob("*.txt")) if p.is_file()]
    if not files:
        raise DataError(
            f"{path} holds neither YouTube-VIS JSON nor MOTS text: write them by unimask track "
            "--formats youtube-vis"
        )
    return files


def read_youtube_vis(
    file: Path, dataset: Dataset, videos: Sequence[Video], categories: str | None
) -> tuple[dict[Hashable, VideoTracks], list[str]]:
    """Read the tracks in a JSON file; return notes on what is left out.

    Raises:
        DataError: The file is malformed.
    """
    content = read_json(file)
    entries = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise DataError(
            f"{file} is neither a list of YouTube-VIS results nor has annotations: write it again"
        )
    labels, extra = class_table(file, content, dataset, categories)
    known = video_table(file, content, videos)
    tracks: dict[Hashable, VideoTracks] = {}
    if isinstance(content, dict):  # it lists videos without tracks too
        tracks = {video.id: {} for video in known.values()}
    num_others = num_extra = 0
    for number, item in enumerate(entries):
        place = f"{file}: annotations[{number}]"
        entry = parse_entry(item, place)
        video = known.get(entry.video)
        if video is None:
            num_others += 1
        elif entry.category in extra:
            num_extra += 1
        elif entry.category not in labels:
            raise DataError(
                f"{place} has category {abbreviate(entry.category)}, which the data lacks: choose "
                "the numbering by --categories data or labels"
            )
        else:
            frames = tracks.setdefault(video.id, {})
            add_masks(frames, entry, len(video.frames), number + 1, labels, place)
    notes = [f"{num_others} tracks belong to videos that are not in the data: ignored"]
    more = [f"{num_extra} tracks of classes that the data lacks are ignored"]
    return tracks, notes * bool(num_others) + more * bool(num_extra)


def class_table(
    file: Path, content: Any, dataset: Dataset, categories: str | None
) -> tuple[Mapping[Id, int], set[Id]]:
    """Return the label id of each category of a file, and the categories that the data lacks.

    Raises:
        DataError: The categories are malformed.
    """
    own = content.get("categories") if isinstance(content, dict) else None
    if own and categories is None:
        names = {name: label for label, name in enumerate(dataset.labels.names)}
        try:
            ids: dict[Id, str] = {normalize_id(item["id"]): str(item["name"]) for item in own}
        except (KeyError, TypeError, JsonValueError):
            raise DataError(f"{file} has categories without id or name: write it again") from None
        known = {id: names[name] for id, name in ids.items() if name in names}
        return known, ids.keys() - known.keys()
    data = dataset_categories(dataset)
    if data is None or categories == "labels":
        return {label: label for label in range(len(dataset.labels))}, set()
    return data, set()


def videos_by_name(videos: Sequence[Video]) -> dict[str, Video]:
    """Return videos by name; a name that several share identifies none."""
    counts = Counter(video.name for video in videos)
    return {video.name: video for video in videos if counts[video.name] == 1}


def video_table(file: Path, content: Any, videos: Sequence[Video]) -> dict[Hashable, Video]:
    """Return the video of the data that each video id of a file means.

    Raises:
        DataError: The videos are malformed.
    """
    if not isinstance(content, dict) or "videos" not in content:
        return {video.id: video for video in videos}
    names = videos_by_name(videos)
    table: dict[Hashable, Video] = {}
    try:
        for item in content["videos"]:
            id, files = normalize_id(item["id"]), item["file_names"]
            folder = Path(files[0].replace("\\", "/")).parent.name if files else ""
            if folder in names:
                table[id] = names[folder]
    except (AttributeError, KeyError, TypeError, JsonValueError):
        raise DataError(f"{file} has videos without id or file_names: write it again") from None
    return table


def parse_entry(item: Any, place: str) -> TrackEntry:
    """Parse a track.

    Raises:
        DataError: It is malformed.
    """
    try:
        score = item.get("score", 1.0)
        masks = item["segmentations"]
        if not isinstance(masks, list) or not isinstance(score, int | float):
            raise TypeError
        video, category = normalize_id(item["video_id"]), normalize_id(item["category_id"])
    except (AttributeError, KeyError, TypeError, JsonValueError):
        raise DataError(
            f'{place} is not {{"video_id", "category_id", "segmentations": [run lengths or null], '
            '"score"}: write it again'
        ) from None
    return TrackEntry(video, category, float(score), masks)


def add_masks(
    frames: VideoTracks,
    entry: TrackEntry,
    length: int,
    track: int,
    labels: Mapping[Id, int],
    place: str,
) -> None:
    """Add the masks of a track to the frames of its video.

    Raises:
        DataError: There are more or fewer frames than the video has, or a mask is damaged.
    """
    if len(entry.segmentations) != length:
        raise DataError(
            f"{place} has {len(entry.segmentations)} masks, but its video has {length} labelled "
            "frames: track exactly those"
        )
    for frame, mask in enumerate(entry.segmentations):
        if not mask:
            continue
        try:
            rle = RunLength.from_coco(mask)
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
        label = labels[entry.category]
        frames.setdefault(frame, []).append(TrackMask(track, label, entry.score, rle, place))


def read_mots(
    file: Path, dataset: Dataset, videos: Sequence[Video], categories: str | None
) -> tuple[dict[Hashable, VideoTracks], list[str]]:
    """Read the tracks in a MOTS text file.

    Raises:
        DataError: The file is malformed, or has a frame that the data lacks.
    """
    is_own = file.stem.endswith(MOTS_ENDING)
    name = file.stem.removesuffix(MOTS_ENDING)
    video = videos_by_name(videos).get(name)
    if video is None:
        return {}, [f"{file.name} belongs to no video of the data: ignored"]
    if file.stat().st_size and not is_mots_text(file):
        raise DataError(f"{file} is not MOTS text: write it again")
    numbering = categories or ("labels" if is_own else "data")
    labels = mots_classes(dataset.labels, numbering)
    places = frame_numbers(video, dataset, is_own)
    frames: defaultdict[int, list[TrackMask]] = defaultdict(list)
    others: Counter[int] = Counter()
    with file.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            if not (fields := line.split()):
                continue
            origin = f"{file}: line {number}"
            frame, track, class_id, rle = parse_line(fields, origin)
            if frame not in places:
                raise DataError(f"{origin} has frame {frame}, which the data lacks: correct it")
            if class_id not in labels:
                others[class_id] += 1
                continue
            mask = TrackMask(track, labels[class_id], 1.0, rle, origin)
            frames[places[frame]].append(mask)
    notes = [
        f"{count} masks of class {class_id} in {file.name} are ignored: the data lacks the class"
        for class_id, count in sorted(others.items())
    ]
    return {video.id: dict(frames)}, notes


def mots_classes(labels: LabelSet, numbering: str) -> dict[int, int]:
    """Return the label id of each class id of MOTS text."""
    if numbering == "data" and labels.category_ids:
        return {labels.category_id(label): label for label in labels.things}
    return {label + 1: label for label in labels.things}


def frame_numbers(video: Video, dataset: Dataset, is_own: bool) -> dict[int, int]:
    """Return the place in its video of each frame number of MOTS text."""
    if is_own:
        return {place: place for place in range(len(video.frames))}
    stems = [dataset.paths[index].stem for index in video.frames]
    if not all(stem.isascii() and stem.isdecimal() for stem in stems):
        return {place: place for place in range(len(video.frames))}
    return {int(stem[:18]): place for place, stem in enumerate(stems)}
