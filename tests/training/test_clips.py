"""Training of networks that segment clips, on labelled videos."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_RESNET, tiny_checkpoint, with_description
from PIL import Image
from tool_exports import write_youtube_vis
from training.test_train import SETTINGS

import unimask
from unimask.checkpoints import write_huggingface
from unimask.config import CriterionConfig, PreprocessingConfig
from unimask.datasets import open_dataset
from unimask.datasets.transforms import Augmentation
from unimask.errors import DataError, SettingsError
from unimask.evaluation import evaluate_tracks
from unimask.formats.run_length import RunLength
from unimask.tracking import ClipSettings
from unimask.training import train
from unimask.training.batches import Examples, collate

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    for name, config in (("tiny", TINY_RESNET), ("tiny-oneformer", TINY_ONEFORMER)):
        monkeypatch.setitem(
            unimask.presets.PRESETS,
            name,
            lambda num_classes, config=config: replace(config, num_classes=num_classes),
        )


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_youtube_vis(tmp_path_factory.mktemp("videos"))


def run(data, out, model="tiny", **changes):
    settings = replace(SETTINGS, **{"clips": True} | changes)
    return train(data, model, out=out, settings=settings, device="cpu", quiet=True)


def test_frames_of_a_clip_are_changed_alike(videos):
    dataset = open_dataset(videos, "train")
    settings = replace(SETTINGS, augmentation=replace(SETTINGS.augmentation, noise=0.0))
    rules = PreprocessingConfig(shortest_edge=64)
    examples = Examples(dataset, ("instance",), settings, rules, clips=True)
    batch = collate([examples[number] for number in range(4)])
    assert batch.pixel_values.shape == (4, 2, 3, 64, 64) and len(batch.targets) == 8
    for first, second in zip(batch.targets[::2], batch.targets[1::2], strict=True):
        assert torch.equal(first.labels, second.labels)
        for one, other in zip(first.masks, second.masks, strict=True):
            # Objects of these videos do not move: masks differ only where one is hidden.
            assert torch.equal(one, other) or not (one.any() and other.any())
    again = examples[2]
    assert torch.equal(again.pixel_values, batch.pixel_values[2])


def test_a_preset_is_trained_to_segment_clips_and_resumed(videos, tmp_path):
    trained = run(videos, tmp_path / "run", steps=4)
    predictor = trained.predictor
    assert predictor.segments_clips and predictor.tasks == ("instance",)
    assert predictor.description.postprocessing.top_k == 10
    frames = list(predictor.track(videos / "valid" / "JPEGImages" / "00a0f", threshold=0.0))
    assert len(frames) == 3
    more = train(out=tmp_path / "run", resume=True, steps=6, quiet=True)
    assert more.finished and more.predictor.segments_clips
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[3]) for row in rows[1:] if row.split(",")[3]]
    assert losses and np.isfinite(losses).all()


def test_weights_for_images_are_trained_to_segment_clips(videos, tmp_path):
    checkpoint = with_description(tiny_checkpoint(), tasks=("instance",))
    write_huggingface(tmp_path / "images", checkpoint)
    trained = run(videos, tmp_path / "run", str(tmp_path / "images"), steps=1, learning_rate=1e-9)
    clips = trained.predictor.network.state_dict()
    images = unimask.load(tmp_path / "images", device="cpu").network.state_dict()
    for name, value in images.items():
        if "class_embed" in name:  # of other classes
            continue
        torch.testing.assert_close(clips[name], value, atol=1e-6, rtol=1e-4)
    again = run(videos, tmp_path / "again", str(tmp_path / "run"), steps=1, clips=False)
    assert again.predictor.segments_clips  # without the option too


def write_moving_discs(folder):
    """Write videos of a red and a green disc that move over noise, as YouTube-VIS."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :96]
    for split, count in (("train", 6), ("valid", 2)):
        content = {"videos": [], "annotations": []}
        content["categories"] = [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}]
        for video in range(count):
            frames = [random.integers(0, 60, (64, 96, 3)).astype(np.uint8) for _ in range(6)]
            names = [f"{split}{video}/{number:05}.png" for number in range(6)]
            for label, (row, column) in enumerate(((16, 20), (48, 70)), start=1):
                place, speed = random.uniform(-8, 8, 2), random.uniform(-4, 4, 2)
                masks = []
                for number, frame in enumerate(frames):
                    y, x = np.array([row, column]) + place + number * speed
                    masks.append((rows - y) ** 2 + (columns - x) ** 2 < 100)
                    frame[masks[-1]] = (220, 40, 40) if label == 1 else (40, 220, 40)
                content["annotations"].append({
                    "id": 2 * video + label, "video_id": video + 1, "category_id": label,
                    "iscrowd": 0, "areas": [int(mask.sum()) for mask in masks],
                    "bboxes": [[0, 0, 1, 1]] * 6,
                    "segmentations": [RunLength.from_mask(mask).to_coco() for mask in masks],
                })  # fmt: skip
            size = {"width": 96, "height": 64, "length": 6, "file_names": names}
            content["videos"].append({"id": video + 1, **size})
            (folder / split / "JPEGImages" / f"{split}{video}").mkdir(parents=True)
            for name, frame in zip(names, frames, strict=True):
                Image.fromarray(frame).save(folder / split / "JPEGImages" / name)
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.slow
def test_a_network_learns_to_segment_and_follow_objects(tmp_path):
    data = write_moving_discs(tmp_path / "data")
    trained = run(
        data,
        tmp_path / "run",
        steps=300,
        batch_size=4,
        learning_rate=2e-3,
        warmup_steps=20,
        save_every=300,
        augmentation=Augmentation(crop=96, min_scale=0.9, max_scale=1.1),
        criterion=CriterionConfig(num_points=256),
        preprocessing=PreprocessingConfig(shortest_edge=64),
    )
    metrics = evaluate_tracks(data, trained.predictor, split="val")["metrics"]
    assert metrics["AP50"] > 90
    # In a video of many clips each object keeps its id.
    frames = [
        draw_discs({(32 + 10 * np.sin(n / 5), 24): (220, 40, 40), (32, 70): (40, 220, 40)})
        for n in range(30)
    ]
    tracked = trained.predictor.track(iter(frames), clips=ClipSettings(6, 2))
    ids = [{s.label: s.track_id for s in frame.result.segments} for frame in tracked]
    assert len(ids) == 30 and all(each == ids[0] for each in ids) and len(ids[0]) == 2


def draw_discs(colours):
    """Draw discs of a radius of 10 pixels over noise."""
    rows, columns = np.mgrid[:64, :96]
    image = np.random.default_rng(0).integers(0, 60, (64, 96, 3)).astype(np.uint8)
    for (y, x), colour in colours.items():
        image[(rows - y) ** 2 + (columns - x) ** 2 < 100] = colour
    return image


def test_what_cannot_be_trained_is_refused_in_one_line(videos, discs, tmp_path):
    with pytest.raises(DataError, match="no ids of objects through videos"):
        run(discs, tmp_path / "a")
    with pytest.raises(SettingsError, match="only Mask2Formers can"):
        run(videos, tmp_path / "b", "tiny-oneformer")
    with pytest.raises(SettingsError, match="cannot learn semantic, only instance"):
        train(
            videos, "tiny", task="semantic", out=tmp_path / "c", device="cpu", quiet=True,
            settings=replace(SETTINGS, clips=True),
        )  # fmt: skip
