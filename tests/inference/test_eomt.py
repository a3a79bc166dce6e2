"""Prediction with EoMT: images in squares, and in windows for semantic segmentation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TINY_EOMT, tiny_checkpoint, with_description

import unimask
from unimask.checkpoints import read_huggingface, write_huggingface
from unimask.config import PostprocessingConfig, PreprocessingConfig
from unimask.errors import SettingsError

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 130, 3), np.uint8)


def save(folder, square, tasks):
    rules = PreprocessingConfig(
        shortest_edge=64, longest_edge=64, fixed_size=(64, 64), square=square, size_divisor=16
    )
    resize = "scores" if square == "windows" else "masks"
    checkpoint = with_description(
        tiny_checkpoint(TINY_EOMT), tasks=tasks, preprocessing=rules,
        postprocessing=PostprocessingConfig(object_threshold=0.2, resize=resize),
    )  # fmt: skip
    write_huggingface(folder, checkpoint)
    return unimask.load(folder, device="cpu")


@torch.no_grad()
def test_semantic_networks_segment_windows(tmp_path):
    model = save(tmp_path, "windows", ("semantic",))
    result = model.predict(IMAGE)
    pixels = model.prepare(IMAGE, None, 10**6).preprocessed.pixel_values
    assert pixels.shape == (3, 64, 173)
    starts = (0, 54, 109)  # 64 - (3 * 64 - 173) / 2 = 54.5
    output = model.network(torch.stack([pixels[:, :, s : s + 64] for s in starts]))
    masks = F.interpolate(output.mask_logits, (64, 64), mode="bilinear").sigmoid()
    scores = torch.einsum("nqk,nqhw->nkhw", output.class_logits.softmax(-1)[..., :-1], masks)
    totals, counts = torch.zeros(2, 64, 173), torch.zeros(173)
    for part, start in zip(scores, starts, strict=True):
        totals[:, :, start : start + 64] += part
        counts[start : start + 64] += 1
    expected = F.interpolate((totals / counts)[None], IMAGE.shape[:2], mode="bilinear")[0]
    assert (result.segmentation == expected.argmax(0).numpy()).mean() > 0.9999
    batch = model.predict([IMAGE, IMAGE], batch_size=2)
    assert all((each.segmentation == result.segmentation).all() for each in batch)


def test_other_networks_segment_padded_squares(tmp_path):
    model = save(tmp_path, "pad", ("panoptic", "instance", "semantic"))
    item = model.prepare(IMAGE, None, 10**6).preprocessed
    assert item.padded_size == (64, 64) and item.input_size == (24, 64)
    for task in model.tasks:
        assert model.predict(IMAGE, task).segmentation.shape == IMAGE.shape[:2]
    assert model.predict(IMAGE, "semantic", tta=True).segmentation.shape == IMAGE.shape[:2]
    assert model.predict(IMAGE, "semantic", tile=64).segmentation.shape == IMAGE.shape[:2]


def test_folders_retain_squares_with_and_without_our_keys(tmp_path):
    import json

    own = save(tmp_path, "pad", ("panoptic",)).description
    assert read_huggingface(tmp_path).description.preprocessing == own.preprocessing
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["unimask"]["preprocessing"]
    path.write_text(json.dumps(config))
    assert read_huggingface(tmp_path).description.preprocessing == own.preprocessing


def test_views_are_refused_where_images_are_segmented_in_windows(tmp_path):
    model = save(tmp_path, "windows", ("semantic",))
    with pytest.raises(SettingsError, match="tta"):
        model.predict(IMAGE, tta=True)


@pytest.mark.extra
@pytest.mark.parametrize("square", ["pad", "windows"])
def test_exported_files_follow_the_same_rules(tmp_path, square):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from unimask.export import export_onnx

    model = save(tmp_path / "model", square, ("semantic",))
    report = export_onnx(model, tmp_path / "model.onnx", images=[IMAGE])
    assert report.description.input.size == (64, 64)
    exported = unimask.load(tmp_path / "model.onnx")
    equal = exported.predict(IMAGE).segmentation == model.predict(IMAGE).segmentation
    assert equal.mean() > 0.999
