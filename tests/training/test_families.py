"""Each family trains with its own loss and post-processing."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import (
    TINY_DETR,
    TINY_EOMT,
    TINY_FAPN,
    TINY_MASKFORMER,
    TINY_PER_PIXEL,
    TINY_PER_PIXEL_PLUS,
    TINY_SWIN,
    tiny_checkpoint,
    with_description,
    write_discs,
)
from training.plan.test_network import start
from training.test_train import SETTINGS

import unimask
from unimask.checkpoints import write_huggingface
from unimask.config import DenseCriterionConfig
from unimask.datasets.transforms import Augmentation
from unimask.errors import SettingsError, TaskError
from unimask.labels import LabelSet
from unimask.modeling.build import build_segmenter
from unimask.modeling.transformer_decoders import JointDecoder
from unimask.training import train

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

NETWORKS = {
    "detr": TINY_DETR,
    "eomt": TINY_EOMT,
    "maskformer": TINY_MASKFORMER,
    "fapn": TINY_FAPN,
    "per-pixel": TINY_PER_PIXEL,
    "per-pixel-plus": TINY_PER_PIXEL_PLUS,
}


@pytest.fixture(autouse=True)
def presets(monkeypatch):
    for name, config in NETWORKS.items():
        monkeypatch.setitem(
            unimask.presets.PRESETS,
            name,
            lambda num_classes, config=config: replace(config, num_classes=num_classes),
        )


def run(data, out, model, task="panoptic", **changes):
    settings = replace(SETTINGS, **{"criterion": None, "steps": 4} | changes)
    return train(data, model, task=task, out=out, settings=settings, device="cpu", quiet=True)


@pytest.mark.parametrize("model", ["maskformer", "fapn"])
def test_maskformer_trains_saves_and_predicts(discs, tmp_path, model):
    predictor = run(discs, tmp_path, model).predictor
    assert predictor.description.postprocessing.uncertain_pixels == "winner"
    assert predictor.predict(np.zeros((40, 50, 3), np.uint8)).size == (40, 50)


def read_losses(folder, name):
    """Read a loss at the first and at the last step."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    return float(rows[0][name]), float(rows[-1][name])


def test_detr_trains_with_boxes_and_predicts(discs, tmp_path):
    predictor = run(discs, tmp_path, "detr").predictor
    rules = predictor.description.postprocessing
    assert (rules.uncertain_pixels, rules.object_threshold) == ("logits", 0.85)
    assert predictor.predict(np.zeros((40, 50, 3), np.uint8)).size == (40, 50)
    first = {name: read_losses(tmp_path, name)[0] for name in ("class", "mask", "dice")}
    boxes = 5 * read_losses(tmp_path, "box")[0] + 2 * read_losses(tmp_path, "giou")[0]
    assert read_losses(tmp_path, "loss")[0] == pytest.approx(sum(first.values()) + boxes, rel=1e-3)


@pytest.mark.slow
def test_detr_overfits_from_a_folder_of_transformers(tmp_path):
    backbone = replace(TINY_DETR.backbone, norm="frozen_batch")
    config = replace(
        TINY_DETR,
        backbone=backbone,
        pixel_decoder=replace(
            TINY_DETR.pixel_decoder,
            encoder=replace(TINY_DETR.pixel_decoder.encoder, dropout=0.0),
        ),
        transformer_decoder=replace(TINY_DETR.transformer_decoder, dropout=0.0),
    )
    write_huggingface(tmp_path / "detr", tiny_checkpoint(config))
    assert json.loads((tmp_path / "detr" / "config.json").read_text())["model_type"] == "detr"
    data = write_discs(tmp_path / "data", {"train": 2, "val": 1}, objects=3)
    augmentation = Augmentation(crop=96, min_scale=1.0, max_scale=1.0, flip=False)
    changes = {"steps": 150, "augmentation": augmentation}
    run(data, tmp_path / "run", str(tmp_path / "detr"), **changes)
    for name, share in (("loss", 0.5), ("box", 0.5), ("giou", 0.75)):
        first, last = read_losses(tmp_path / "run", name)
        assert last < share * first, (name, first, last)


def test_eomt_trains_with_annealed_masks_and_predicts_without(discs, tmp_path, monkeypatch):
    seen, update = [], JointDecoder.forward

    def forward(self, *inputs, **options):
        if self.training:
            seen.append(self.mask_probs)
        return update(self, *inputs, **options)

    monkeypatch.setattr(JointDecoder, "forward", forward)
    predictor = run(discs, tmp_path, "eomt", steps=6).predictor
    assert seen[0] == (1.0, 1.0) and seen[-1][0] == 0 and seen[-1] < seen[0]
    assert predictor.description.config.transformer_decoder.mask_probs == ()
    assert predictor.predict(np.zeros((40, 50, 3), np.uint8)).size == (40, 50)
    losses = (tmp_path / "metrics.csv").read_text()
    assert "auxiliary" in losses and "nan" not in losses


def test_an_explicit_loss_is_stored_in_the_settings(discs, tmp_path):
    criterion = DenseCriterionConfig(dice_weight=3.0)
    run(discs, tmp_path, "maskformer", criterion=criterion, steps=1)
    settings = json.loads((tmp_path / "settings.json").read_text())["settings"]
    assert settings["criterion"]["dice_weight"] == 3.0
    folder = unimask.training.run_folder.RunFolder(tmp_path)
    assert folder.read_settings().criterion == criterion


@pytest.mark.parametrize("model", ["per-pixel", "per-pixel-plus"])
def test_per_pixel_baselines_train_on_semantic_and_refuse_instances(
    discs, tmp_path, model, drawings
):
    with pytest.raises(SettingsError, match=f"{model} cannot learn panoptic, only semantic"):
        run(discs, tmp_path / "refused", model)
    predictor = run(discs, tmp_path / "run", model, "semantic", steps=40).predictor
    result = predictor.predict(np.zeros((40, 50, 3), np.uint8), "semantic")
    assert (result.segmentation >= 0).all()
    with pytest.raises(TaskError, match="was not trained for instance; it does semantic"):
        predictor.predict(np.zeros((40, 50, 3), np.uint8), "instance")
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    first, last = (float(rows[i].split(",")[3]) for i in (1, -1))
    assert last < 0.8 * first


def test_class_queries_are_reinitialised_for_other_classes(tmp_path):
    checkpoint = with_description(tiny_checkpoint(TINY_PER_PIXEL_PLUS), tasks=("semantic",))
    write_huggingface(tmp_path, checkpoint)
    labels = LabelSet(("ground", "cell", "rim"), (False, False, False))
    initial, found, words = start(str(tmp_path), labels, ("semantic",), SETTINGS)
    assert "new class head for 3 classes instead of 2" in words
    build_segmenter(initial.description.config).load_state_dict(found)
    changed = {n for n, t in checkpoint.state.items() if not torch.equal(t, found[n])}
    assert changed == {"transformer_decoder.query_positions.weight"}


@pytest.mark.parametrize(
    ("task", "tasks", "resize"),
    [
        (None, ("semantic",), "scores"),
        ("panoptic", ("panoptic", "instance", "semantic"), "masks"),
    ],
)
def test_published_configurations_keep_their_rules(
    discs, tmp_path, monkeypatch, task, tasks, resize
):
    monkeypatch.setitem(
        unimask.presets.PRESETS,
        "mask2former-swin-tiny",
        lambda num_classes: replace(TINY_SWIN, num_classes=num_classes),
    )
    name = "mask2former-swin-tiny-ade20k-semantic"
    checkpoint = run(discs, tmp_path, name, task, steps=1).predictor.description
    assert checkpoint.tasks == tasks and checkpoint.labels.names == (
        "object",
        "background",
    )
    assert (
        checkpoint.preprocessing.shortest_edge,
        checkpoint.preprocessing.longest_edge,
    ) == (
        512,
        2048,
    )
    assert checkpoint.postprocessing.resize == resize
