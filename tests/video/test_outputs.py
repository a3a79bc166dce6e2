"""Files of tracked videos, read again by the readers of their formats."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unimask.datasets import open_dataset
from unimask.datasets.objects.mots_text import parse_line
from unimask.errors import ImageError, OutputError, SettingsError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.results import Result, Segment
from unimask.tracking import Tracker
from unimask.video import TrackedFrame
from unimask.video.outputs import parse_formats, write_tracks

LABELS = LabelSet(("car", "bus", "road"), (True, True, False))
SIZE = (40, 60)


def tracked_frames(count: int = 5, error: BaseException | None = None):
    tracker = Tracker()
    for number in range(count):
        road = np.zeros(SIZE, bool)
        road[20:] = True
        masks = [road]
        for top, left in ((4, 2 + 3 * number), (8, 40)):
            mask = np.zeros(SIZE, bool)
            mask[top : top + 8, left : left + 12] = True
            masks.append(mask)
        if number == 2:
            masks.pop()  # the second car is hidden
        segments = tuple(
            Segment.from_rle(LABELS, label, RunLength.from_mask(mask), id=index + 1, score=0.9)
            for index, (label, mask) in enumerate(zip((2, 0, 0), masks, strict=False))
        )
        result = tracker.update(Result("instance", SIZE, LABELS, segments))
        image = np.full((*SIZE, 3), 90, np.uint8)
        yield TrackedFrame(2 * number, number / 10, image, result, name=f"{number}.png")
    if error is not None:
        raise error


def write(folder: Path, frames, formats=("jsonl", "youtube-vis", "mots")):
    return write_tracks(frames, folder, "clip", LABELS, formats, lambda frame: None)


def test_json_lines(tmp_path):
    lines = write(tmp_path, tracked_frames())["jsonl"].read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(r["frame"], r["time"]) for r in records] == [(2 * n, n / 10) for n in range(5)]
    assert [s["track_id"] for s in records[3]["segments"]] == [3, 1, 2]
    rle = RunLength.from_coco(records[1]["segments"][1]["rle"])
    assert rle.area == 96 and rle.box == (5.0, 4.0, 17.0, 12.0)


def test_youtube_vis_is_read_as_a_dataset(tmp_path):
    path = write(tmp_path / "out", tracked_frames(), ["youtube-vis"])["youtube-vis"]
    content = json.loads(path.read_text())
    assert [a["id"] for a in content["annotations"]] == [1, 2]
    assert [mask is None for mask in content["annotations"][1]["segmentations"]] == [
        number == 2 for number in range(5)
    ]
    assert content["annotations"][0]["score"] == 0.9
    data = tmp_path / "data"
    (data / "train" / "JPEGImages" / "clip").mkdir(parents=True)
    for number in range(5):
        Image.new("RGB", SIZE[::-1]).save(data / f"train/JPEGImages/clip/{number}.png")
    (data / "train.json").write_text(path.read_text())
    dataset = open_dataset(data, "train")
    # One frame is set aside for validation; pixels without an object are background.
    assert [int((dataset[n].label_ids == 0).sum()) for n in range(len(dataset))] == [2, 2, 1, 2]


def test_mots_lines_do_not_overlap(tmp_path):
    lines = write(tmp_path, tracked_frames(12), ["mots"])["mots"].read_text().splitlines()
    parsed = [parse_line(line.split(), "line") for line in lines]
    assert {id for _, id, _, _ in parsed} == {1, 2} and {c for _, _, c, _ in parsed} == {1}
    for frame in range(12):
        masks = [mask.to_mask() for number, _, _, mask in parsed if number == frame]
        assert np.sum(masks, axis=0).max() == 1


@pytest.mark.parametrize("error", [ImageError("camera 0 was lost"), KeyboardInterrupt()])
def test_files_are_complete_after_an_interruption(tmp_path, error):
    reported = []
    formats = ("jsonl", "youtube-vis", "mots")
    with pytest.raises(type(error)):
        frames = tracked_frames(3, error)
        write_tracks(frames, tmp_path, "clip", LABELS, formats, reported.append)
    assert [frame.index for frame in reported] == [0, 2, 4]
    assert len((tmp_path / "clip_tracks.jsonl").read_text().splitlines()) == 3
    assert json.loads((tmp_path / "clip_youtube_vis.json").read_text())["videos"][0]["length"] == 3
    assert len((tmp_path / "clip_mots.txt").read_text().splitlines()) == 5
    assert not list(tmp_path.glob(".partial*"))


def test_no_file_is_created_for_a_source_that_cannot_be_read(tmp_path):
    with pytest.raises(ImageError):
        write(tmp_path / "out", tracked_frames(0, ImageError("no video")))
    assert not (tmp_path / "out").exists()
    (tmp_path / "clip_tracks.jsonl").write_text("mine")
    with pytest.raises(OutputError):
        write(tmp_path, tracked_frames())
    assert (tmp_path / "clip_tracks.jsonl").read_text() == "mine"


def test_formats():
    assert parse_formats("mots, jsonl") == ("mots", "jsonl")
    for text in ("", "avi"):
        with pytest.raises(SettingsError, match="choose from video, jsonl"):
            parse_formats(text)
