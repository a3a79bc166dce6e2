"""Networks of clips: the authors' rule for whole videos, and clips of longer ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import draw_discs
from hypothesis import given, settings
from hypothesis import strategies as st

import unimask
from unimask.errors import ImageError, SettingsError
from unimask.tracking import ClipSettings

IMAGE = draw_discs(0, (60, 90), count=4)[0]
FRAMES = [np.roll(IMAGE, 3 * number, axis=1) for number in range(6)]


@pytest.fixture(scope="module")
def predictor(tiny_clip_model):
    return unimask.load(tiny_clip_model, device="cpu")


@torch.no_grad()
def whole_video(predictor, frames):
    """Apply `inference_video` of the authors, in the plain operations of PyTorch."""
    items = [predictor.preprocess(frame) for frame in frames]
    output = predictor.network(torch.stack([item.pixel_values for item in items])[None])
    padded, (height, width), original = items[0][1:]
    scores, order = output.class_logits[0].softmax(-1)[:, :-1].flatten().topk(10)
    classes = output.class_logits.shape[-1] - 1
    masks = output.mask_logits[0][order // classes]
    masks = F.interpolate(masks, padded, mode="bilinear", align_corners=False)
    masks = masks[..., :height, :width]
    masks = F.interpolate(masks, original, mode="bilinear", align_corners=False) > 0
    return scores.tolist(), (order % classes).tolist(), masks.numpy()


def test_a_video_is_segmented_as_a_whole_by_the_rule_of_the_authors(predictor):
    scores, labels, masks = whole_video(predictor, FRAMES)
    frames = list(predictor.track(iter(FRAMES), threshold=0.0, rate=10))
    assert [(frame.index, frame.time) for frame in frames] == [(n, n / 10) for n in range(6)]
    tracks = {s.track_id for frame in frames for s in frame.result.segments}
    assert len(tracks) > 3
    for place, frame in enumerate(frames):
        assert frame.image is FRAMES[place] and frame.result.task == "instance"
        visible = [rank for rank in range(10) if masks[rank, place].any()]
        assert [s.track_id for s in frame.result.segments] == [rank + 1 for rank in visible]
        for segment, rank in zip(frame.result.segments, visible, strict=True):
            assert segment.score == pytest.approx(scores[rank], abs=1e-5)
            assert segment.label_id == labels[rank]
            assert (segment.mask != masks[rank, place]).mean() < 1e-3  # logits close to 0


def test_scores_below_the_threshold_are_left_out(predictor):
    scores, _, _ = whole_video(predictor, FRAMES)
    frames = list(predictor.track(iter(FRAMES), threshold=scores[3] - 1e-4))
    assert {s.track_id for frame in frames for s in frame.result.segments} <= {1, 2, 3, 4}
    assert all(s.score >= 0.5 for f in predictor.track(iter(FRAMES)) for s in f.result.segments)


@settings(max_examples=12)
@given(st.integers(1, 9), st.integers(2, 5), st.data())
def test_every_frame_of_a_long_video_is_returned_once(predictor, count, length, data):
    overlap = data.draw(st.integers(1, length - 1))
    frames = [np.roll(IMAGE, number, axis=0) for number in range(count)]
    clips = ClipSettings(length, overlap)
    tracked = list(predictor.track(iter(frames), threshold=0.0, clips=clips))
    assert [frame.index for frame in tracked] == list(range(count))
    assert all(frame.image is frames[frame.index] for frame in tracked)
    if count <= length:
        whole = list(predictor.track(iter(frames), threshold=0.0))
        for frame, expected in zip(tracked, whole, strict=True):
            assert [s.rle for s in frame.result.segments] == [
                s.rle for s in expected.result.segments
            ]


def test_shared_frames_are_taken_from_both_clips(predictor):
    """Of 4 frames that are shared, the first 2 have the results of the earlier clip."""
    frames = [np.roll(IMAGE, number, axis=0) for number in range(8)]
    tracked = list(predictor.track(iter(frames), threshold=0.0, clips=ClipSettings(6, 4)))
    for first, own in ((0, slice(0, 4)), (2, slice(4, 8))):
        clip = list(predictor.track(iter(frames[first : first + 6]), threshold=0.0))
        for frame in tracked[own]:
            expected = clip[frame.index - first].result.segments
            assert [s.rle for s in frame.result.segments] == [s.rle for s in expected]


def test_objects_of_a_still_video_keep_their_ids_through_clips(predictor):
    clips = ClipSettings(4, 2)
    tracked = list(predictor.track(iter([IMAGE] * 12), threshold=0.0, clips=clips))
    first, last = ({s.track_id for s in tracked[n].result.segments} for n in (0, -1))
    assert first and len(first & last) >= len(first) // 2


def test_frames_of_another_size_are_refused_by_name(predictor):
    frames = iter([IMAGE, IMAGE[:-1]])
    with pytest.raises(ImageError, match="59 x 90"):
        list(predictor.track(frames))


def test_images_are_clips_of_one_frame(predictor):
    (frame,) = predictor.track(iter([IMAGE]), threshold=0.0)
    found = {s.rle.to_coco()["counts"] for s in predictor.predict(IMAGE, threshold=0.0).segments}
    assert {s.rle.to_coco()["counts"] for s in frame.result.segments} <= found


def test_options_of_clips_are_checked(predictor, tiny_model):
    for values, message in (
        ((1, None), "clips of 1 frames"),
        ((4, 4), "overlap of 4 frames"),
        ((None, 0), "overlap of 0 frames"),
    ):
        with pytest.raises(SettingsError, match=message):
            ClipSettings(*values)
    images = unimask.load(tiny_model, device="cpu")
    with pytest.raises(SettingsError, match="segments images"):
        images.track(iter(FRAMES), clips=ClipSettings())
    with pytest.raises(SettingsError, match="for semantic only"):
        predictor.track(iter(FRAMES), smoothing=0.5)


def test_the_length_of_clips_follows_from_their_size():
    clips = ClipSettings()
    assert clips.resolve(480 * 864, 720 * 1280 * 3) == (30, 7)
    assert clips.resolve(384 * 640, 720 * 1280 * 3) == (50, 12)
    assert clips.resolve(384 * 640, 2160 * 3840 * 3) == (21, 5)
    assert clips.resolve(4096 * 4096, 10**9) == (4, 1)
    assert ClipSettings(2).resolve(10**9, 10**9) == (2, 1)
    assert ClipSettings(overlap=3).resolve(384 * 640, 720 * 1280 * 3) == (50, 3)


@pytest.mark.extra
def test_networks_of_clips_are_not_exported(predictor, tmp_path):
    from unimask.export import export_onnx

    with pytest.raises(SettingsError, match="segments clips of any number of frames"):
        export_onnx(predictor, tmp_path / "clips.onnx")
    assert not list(tmp_path.iterdir())
