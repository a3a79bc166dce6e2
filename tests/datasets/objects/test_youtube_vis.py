"""YouTube-VIS: frames as images, objects that are hidden in some, and whole videos in a split."""

import numpy as np
import pytest
from outlines import INSIDE, SQUARE, draw, outline, write_json
from tool_exports import write_youtube_vis, youtube_vis_content

from unimask.datasets import describe, detect_format, open_dataset
from unimask.datasets.videos import find_videos
from unimask.errors import DataError

pytest.importorskip("pycocotools.mask")


def test_frames_are_images_with_the_objects_that_are_visible(tmp_path):
    data = write_youtube_vis(tmp_path)
    assert detect_format(data).format == "YouTube-VIS"
    train, val = (open_dataset(data, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (15, 6)
    assert train.labels.names == val.labels.names == ("cat", "cap", "background")
    assert train.count_things().tolist() == [2, 1, 2] * 5
    assert [path.name for path in train.paths[:3]] == ["00000.jpg", "00005.jpg", "00010.jpg"]
    sample = train[0]
    assert sample.label_ids.tolist() == [0, 1, 2]
    assert np.array_equal(sample.mask(1), outline(SQUARE))
    assert np.array_equal(sample.mask(2), outline(INSIDE))
    assert train[1].label_ids.tolist() == [1, 2]
    assert "each frame is an image" in describe(train)


def test_videos_stay_whole_when_a_validation_split_is_set_aside(tmp_path):
    data = write_youtube_vis(tmp_path, (("train", 5),))
    train, val = (open_dataset(data, split) for split in ("train", "val"))
    videos = [{path.parent.name for path in dataset.paths} for dataset in (train, val)]
    assert (len(train), len(val)) == (12, 3) and not videos[0] & videos[1]


def test_objects_keep_their_ids_through_videos(tmp_path):
    data = write_youtube_vis(tmp_path, (("train", 5),))
    whole = open_dataset(data)
    assert [video.frames for video in find_videos(whole)] == [
        tuple(range(first, first + 3)) for first in range(0, 15, 3)
    ]
    assert [whole[index].track_ids.tolist() for index in range(2)] == [[3, 9, -1], [9, -1]]
    (video,) = find_videos(open_dataset(data, "val"))
    assert (video.name, video.id, video.frames) == ("02a2f", 3, (0, 1, 2))


@pytest.mark.parametrize("place", ["JPEGImages", "train/JPEGImages", "valid/JPEGImages", "."])
def test_frames_are_found_in_all_usual_folders(tmp_path, place):
    content = youtube_vis_content(2)
    write_json(tmp_path / "train" / "instances.json", content)
    for video in content["videos"]:
        for name in video["file_names"]:
            draw(tmp_path / place, name)
    assert len(open_dataset(tmp_path, format="ytvis")) == 6


def test_polygons_and_ids_as_text_are_read(tmp_path):
    content = youtube_vis_content(1)
    square = [[10, 8, 40.5, 8, 40.5, 38.3, 10, 38.3]]
    content["annotations"][0] |= {"segmentations": [square, None, None], "video_id": "1"}
    for name in content["videos"][0]["file_names"]:
        draw(tmp_path / "JPEGImages", name)
    write_json(tmp_path / "all.json", content)
    dataset = open_dataset(tmp_path)
    assert dataset.count_things().tolist() == [2, 1, 1]
    assert np.array_equal(dataset[0].mask(1), outline(SQUARE))


def change(key, **fields):
    def apply(content):
        content[key][0] |= fields

    return apply


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        (change("annotations", category_id=99), "has category_id 99, which the file does not list"),
        (change("annotations", video_id=99), "has image_id '99, frame 0', which the file does not"),
        (
            change("annotations", segmentations=7),
            r"annotations\[0\]\.segmentations: expected array",
        ),
        (
            change("annotations", segmentations=[{"size": [9, 9], "counts": [3]}]),
            "no mask that can",
        ),
        (
            change("annotations", segmentations=[{"size": [9, 9], "counts": [81]}]),
            "of 9 x 9 pixels",
        ),
        (change("videos", file_names=[3]), r"videos\[0\]\.file_names\[0\]: expected str"),
        (lambda content: content.update(annotations=None), "lists videos, but no objects"),
        (lambda content: content.update(categories=[]), "lists no categories"),
    ],
)
def test_what_is_malformed_is_named(tmp_path, apply, reason):
    data = write_youtube_vis(tmp_path, (("train", 1),))
    content = youtube_vis_content(1)
    apply(content)
    write_json(data / "train.json", content)
    with pytest.raises(DataError, match=reason):
        open_dataset(data)
