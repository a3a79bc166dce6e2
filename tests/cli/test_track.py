"""`unimask track`: files, options, and one line for bad input."""

import importlib.util
import json

import numpy as np
import pytest
from conftest import draw_discs
from PIL import Image

from unimask.cli.track import parse_time, source_stem
from unimask.errors import SettingsError


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    image = draw_discs(0)[0]
    for number in range(6):
        Image.fromarray(np.roll(image, number, axis=1)).save(folder / f"{number}.png")
    return folder


def test_times():
    assert [parse_time(text) for text in ("90", "1:30", "0:01:30.5")] == [90, 90, 90.5]
    for text in ("", "1m", "-1", "1:2:3:4"):
        with pytest.raises(SettingsError, match="minutes:seconds"):
            parse_time(text)


def test_names_of_files():
    sources = ("a/b.mp4", "0", "rtsp://user:pw@host:554/live/1?x=2", "clip/*.png")
    assert [source_stem(source) for source in sources] == [
        "b",
        "camera0",
        "host_554_live_1",
        "clip",
    ]


def test_a_folder_of_frames(command, tiny_model, frames, tmp_path):
    out = tmp_path / "out"
    options = ("--model", tiny_model, "--rate", 10, "--from", 0.1, "--every", 2, "--out", out)
    code, printed, errors = command(
        "track", frames, *options, "--task", "instance", "--formats", "jsonl,mots,youtube-vis"
    )
    assert code == 0, errors
    assert "2 frames" in printed and "tracks:" in printed
    lines = (out / "clip_tracks.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [2, 4]
    assert json.loads((out / "clip_youtube_vis.json").read_text())["videos"][0]["length"] == 2


def test_a_network_of_clips_writes_the_same_files(
    command, check_error, tiny_clip_model, tiny_model, frames, tmp_path
):
    out = ("--out", tmp_path / "out", "--formats", "jsonl,mots,youtube-vis")
    clips = ("--clip", 4, "--clip-overlap", 2)
    code, printed, errors = command(
        "track", frames, "--model", tiny_clip_model, "--threshold", 0, *out, *clips
    )
    assert code == 0, errors
    assert "6 frames" in printed and "tracks:" in printed
    lines = (tmp_path / "out" / "clip_tracks.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["frame"] for row in rows] == list(range(6))
    assert all(s["track_id"] is not None for row in rows for s in row["segments"])
    assert any(row["segments"] for row in rows)
    code, _, errors = command("track", frames, "--model", tiny_model, *out, *clips)
    check_error(code, errors, "segments images: length and overlap are for clips")
    code, _, errors = command("track", frames, "--model", tiny_clip_model, *out, *clips[:3], 4)
    check_error(code, errors, "an overlap of 4 frames")


def test_bad_input_gets_one_line(command, check_error, tiny_model, frames, tmp_path):
    out = ("--model", tiny_model, "--out", tmp_path / "out", "--formats", "jsonl")
    code, _, errors = command("track", "missing.mp4", *out)
    check_error(code, errors, "missing.mp4 does not exist")
    code, _, errors = command("track", frames, *out, "--smoothing", 0.5)
    check_error(code, errors, "semantic only")
    code, _, errors = command("track", frames, *out[:-1], "avi")
    check_error(code, errors, "choose from video")
    assert not (tmp_path / "out").exists()
    # What was written before a frame that cannot be read stays.
    (frames / "3.png").write_bytes(b"broken")
    code, _, errors = command("track", frames, *out)
    assert code == 2 and "3.png" in errors
    lines = (tmp_path / "out" / "clip_tracks.jsonl").read_text().splitlines()
    assert len(lines) == 3


@pytest.mark.extra
@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs av")
def test_an_annotated_video(command, tiny_model, frames, tmp_path):
    from unimask.video import open_frames

    out = tmp_path / "out"
    code, _, errors = command("track", frames, "--model", tiny_model, "--out", out)
    assert code == 0, errors
    assert len(list(open_frames(out / "clip_tracks.mp4"))) == 6
