"""Known problems of other tools with training: a test for each."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_ONEFORMER, TINY_RESNET, draw_discs, tiny_checkpoint, write_discs
from PIL import Image
from training.plan.test_choices import GPU, choose

import unimask
from unimask.config import CriterionConfig
from unimask.datasets import Sample, open_dataset
from unimask.datasets.sample import build_target
from unimask.datasets.transforms import Augmentation, augment
from unimask.errors import TrainingError
from unimask.losses import Criterion, build_criterion
from unimask.losses.matcher import ComparedTarget
from unimask.modeling.build import build_segmenter
from unimask.presets import PRESETS
from unimask.processing.postprocess import NonFiniteLogitsError
from unimask.training import TrainingSettings, steps
from unimask.training.curves import draw_curves
from unimask.training.run_folder import RunFolder

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

TASKS = ("panoptic", "instance", "semantic")
SETTINGS = TrainingSettings(
    steps=2,
    batch_size=4,
    learning_rate=1e-3,
    clip_norm=1.0,
    warmup_steps=1,
    workers=0,
    ema_decay=0.9,
    augmentation=Augmentation(crop=64),
    criterion=CriterionConfig(num_points=64),
)


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch):
    for name, config in (("tiny", TINY_RESNET), ("one", TINY_ONEFORMER)):
        monkeypatch.setitem(
            PRESETS, name, lambda classes, config=config: replace(config, num_classes=classes)
        )


def run(data, out, model="tiny", *, task=None, names=None, quiet=True, **changes):
    settings = replace(SETTINGS, **changes)
    return unimask.train(
        data, model, task=task, out=out, names=names, settings=settings, device="cpu", quiet=quiet
    )


def state_of(out) -> dict:
    return torch.load(out / "state.pt", weights_only=True)


def sample_of(ids):
    count = int(ids.max())
    return Sample(
        image=np.zeros((*ids.shape, 3), np.uint8),
        id_maps=ids[None],
        label_ids=np.zeros(count, np.int64),
        crowds=np.zeros(count, bool),
        ignored=None,
        path=Path("a.png"),
    )


def mask_gradients(target, *, ignore_void: bool) -> list[torch.Tensor]:
    """Return the gradients of each layer's mask logits of an untrained network."""
    torch.manual_seed(0)
    output = build_segmenter(TINY_RESNET)(torch.randn(1, 3, 64, 64), ["semantic"])
    layers = [output, *output.auxiliary]
    for layer in layers:
        layer.mask_logits.retain_grad()
    config = CriterionConfig(num_points=512, ignore_void=ignore_void)
    Criterion(TINY_RESNET.num_classes, config)(output, [target]).total.backward()
    return [layer.mask_logits.grad.abs().amax(dim=(0, 1)) for layer in layers]


def test_unlabelled_pixels_have_no_gradient(tmp_path):
    """Elsewhere unlabelled pixels (255) are trained as background."""
    labels = np.zeros((64, 64), np.uint8)
    labels[:, 32:] = 1
    labels[16:48, 8:56] = 255
    for kind, pixels in (("images", draw_discs(0, (64, 64))[0]), ("masks", labels)):
        (tmp_path / kind).mkdir()
        Image.fromarray(pixels).save(tmp_path / kind / "a.png")
    # With this many pixels, 255 might be a class: the names decide.
    dataset = open_dataset(tmp_path, names=("left", "right", "void"))
    target = build_target(dataset[0], "semantic", dataset.labels)
    ignored_cells = (
        slice(4, 12),
        slice(2, 14),
    )  # cells of 4 x 4 pixels that are entirely ignored
    for ignore_void in (True, False):
        for gradient in mask_gradients(target, ignore_void=ignore_void):
            assert gradient.any() and bool(gradient[ignored_cells].any()) != ignore_void


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_diverging_loss_stops_the_run_and_names_the_images(discs, tmp_path, precision, capsys):
    """Elsewhere the matcher crashes after hours: "matrix contains invalid numeric entries"."""
    changes = {"learning_rate": 1e30, "steps": 20, "max_bad_steps": 3, "precision": precision}
    with pytest.raises(TrainingError, match=r"^3 steps in a row up to step \d") as failed:
        run(discs, tmp_path, quiet=False, **changes)
    message = str(failed.value)
    assert "train/images/" in message and "lower --learning-rate (now 1e+30)" in message
    assert "nan" in message or "inf" in message  # the values of the losses
    assert ("--precision float32" in message) == (precision == "bfloat16")
    skipped = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped: ")
    ]
    assert len(skipped) == 2 and all(".png" in line and "not finite" in line for line in skipped)
    assert all(tensor.isfinite().all() for tensor in state_of(tmp_path)["network"].values())


def test_one_bad_step_leaves_the_weights_alone_and_is_reported(
    discs, tmp_path, monkeypatch, capsys
):
    """Elsewhere one overflow makes every weight NaN, and the image is not reported."""
    real, batches = steps.forward, []

    def diverge_once(fabric, state, batch, generator):
        losses = real(fabric, state, batch, generator)
        batches.append(batch.paths)
        return losses._replace(total=losses.total / 0) if len(batches) == 3 else losses

    monkeypatch.setattr(steps, "forward", diverge_once)
    assert run(discs, tmp_path, steps=4, batch_size=1, accumulate=2, quiet=False).finished
    skipped = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("skipped: ")
    ]
    path = str(batches[2][0])
    assert skipped == [f"skipped: step 2, its loss or gradients are not finite: {path}"]
    assert RunFolder(tmp_path).rows()[-1]["skipped"] == "1"
    state = state_of(tmp_path)
    assert state["progress"]["skipped_steps"] == 1 and state["average"]["updates"] == 3
    assert all(tensor.isfinite().all() for tensor in state["network"].values())


def test_a_validation_of_a_diverged_network_names_the_learning_rate(discs, tmp_path, monkeypatch):
    """Elsewhere its logits are clipped and scored; float32 is not recommended if already used."""

    def diverged(*_):
        raise NonFiniteLogitsError("the logits hold NaN or infinity")

    monkeypatch.setattr("unimask.training.loop.validate", diverged)
    words = r"after step 2 .* in float32, its largest weight being [\d.e+]+: .* \(now 0\.001\)"
    with pytest.raises(TrainingError, match=words):
        run(discs, tmp_path)


def test_names_of_classes_are_printed_as_they_are(discs, tmp_path, capsys):
    """Elsewhere they are interpreted as markup, or crash the run at its first line."""
    run(discs, tmp_path, names=("[/b]", "x\ud800\x1b[31m"), steps=1, quiet=False)
    printed = capsys.readouterr().out
    assert "[/b]" in printed and "\\ud800" in printed and "\x1b" not in printed


def test_damaged_metrics_files_do_not_end_the_run(discs, tmp_path, monkeypatch, capsys):
    """Elsewhere a spreadsheet that saves the file makes the run fail."""
    real = steps.update

    def damage(fabric, state, stream, step, settings):
        (tmp_path / "metrics.csv").write_bytes(b"\0\xff;\n")
        return real(fabric, state, stream, step, settings)

    monkeypatch.setattr("unimask.training.loop.update", damage)
    assert run(discs, tmp_path, steps=3, evaluate_every=1, quiet=False).finished
    assert capsys.readouterr().out.count("curves are not drawn any more") == 1
    with pytest.raises(TrainingError, match=r"metrics\.csv is damaged"):
        unimask.train(out=tmp_path, resume=True, steps=4)
    (tmp_path / "metrics.csv").unlink()
    monkeypatch.setattr("unimask.training.loop.update", real)
    assert unimask.train(out=tmp_path, resume=True, steps=4, quiet=True).finished


def test_logs_without_a_terminal_show_the_remaining_time(discs, tmp_path, capsys):
    """Elsewhere only the progress bar shows it, which logs of batch systems do not contain."""
    run(discs, tmp_path, steps=3, evaluate_every=1, quiet=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert len(lines) == 3 and all(" left, ends " in line for line in lines[:2])
    assert " left" not in lines[2]


def test_curves_at_zero_are_drawn_on_the_axis(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.savefig", lambda self, path, **_: figures.append(self)
    )
    row = dict.fromkeys(("loss", "class", "mask", "dice"), "1") | {"metric": "PQ", "score": "0"}
    monkeypatch.setattr("os.replace", lambda *_: None)
    draw_curves([row | {"step": "1"}, row | {"step": "2"}], tmp_path / "curves.png")
    assert figures[0].axes[1].get_ylim()[0] == 0


@pytest.fixture(scope="module")
def half_empty(tmp_path_factory):
    """Dataset of two images without objects, one with one, and one with six."""
    data = write_discs(tmp_path_factory.mktemp("data") / "half", {"train": 4, "val": 2})
    for name, maximum in (
        ("train/masks/0.png", 0),
        ("train/masks/2.png", 0),
        ("train/masks/3.png", 1),
    ):
        ids = np.asarray(Image.open(data / name))
        Image.fromarray(np.where(ids <= maximum, ids, 0).astype(np.uint16)).save(data / name)
    return data


@pytest.mark.parametrize("task", TASKS)
def test_an_image_without_objects_does_not_stop_a_run(half_empty, tmp_path, task):
    """Elsewhere an empty list of masks fails in `grid_sample`, or such images are dropped."""
    assert run(half_empty, tmp_path, task=task).finished  # all four images in each batch
    assert state_of(tmp_path)["progress"]["skipped_steps"] == 0
    rows, losses = RunFolder(tmp_path).rows(), ("loss", "mask", "dice", "auxiliary")
    assert rows and all(np.isfinite(float(row[name])) for row in rows for name in losses)


def test_an_image_without_objects_supervises_no_object():
    """Elsewhere negatives are filtered out as useless."""
    nothing_there = sample_of(np.zeros((64, 64), np.int32))
    empty = build_target(nothing_there, "instance", tiny_checkpoint().description.labels)
    assert len(empty.labels) == 0
    torch.manual_seed(0)
    output = build_segmenter(TINY_RESNET)(torch.randn(1, 3, 64, 64), ["instance"])
    output.class_logits.retain_grad()
    Criterion(TINY_RESNET.num_classes, CriterionConfig())(output, [empty]).total.backward()
    no_object, classes = output.class_logits.grad[..., -1], output.class_logits.grad[..., :-1]
    assert (no_object < 0).all() and (classes > 0).all()  # gradient descent lowers every class


def test_an_object_that_was_cropped_away_leaves_no_empty_mask():
    """Elsewhere more than half of the masks are empty after cropping, and the model is poor."""
    ids = np.zeros((256, 256), np.int32)
    ids[:12, :12], ids[120:130, 120:130] = 1, 2
    checkpoint, counts = tiny_checkpoint(), set()
    rules = replace(checkpoint.description.preprocessing, shortest_edge=256, longest_edge=256)
    for seed in range(40):
        random = np.random.default_rng(seed)
        square = augment(sample_of(ids), Augmentation(crop=64), rules, random)
        target = build_target(square, "instance", checkpoint.description.labels)
        assert target.masks.flatten(1).any(dim=1).all()
        counts.add(len(target.labels))
    assert {0, 1} <= counts


def test_the_first_loss_is_shown_with_its_expectation(tmp_path, capsys):
    """Elsewhere a run starts with a loss of a hundred, the sum of ten layers, and looks broken."""
    data = write_discs(tmp_path / "data", {"train": 8, "val": 1})
    result = unimask.train(data, "tiny", out=tmp_path / "run", device="cpu", steps=1, workers=0)
    output = capsys.readouterr().out
    assert "1 steps of 2 images (2 at a time)" in output and "crops of 96 pixels" in output
    folder = RunFolder(result.folder)
    assert folder.read_settings().batch_size == 2
    expected = float(output.split("expected first loss: ")[1].split(" = ")[0])
    row = folder.rows()[0]
    assert float(row["loss"]) == pytest.approx(expected, rel=0.2)
    terms = 2 * float(row["class"]) + 5 * float(row["mask"]) + 5 * float(row["dice"])
    assert float(row["loss"]) == pytest.approx(terms, rel=1e-3)  # of the last layer only
    layers = float(row["auxiliary"]) / float(row["loss"])
    assert layers == pytest.approx(TINY_RESNET.transformer_decoder.num_layers, rel=0.2)


def test_a_small_gpu_accumulates_steps_of_sixteen_images():
    """Elsewhere the recipe is for eight GPUs, and diverges or stalls with the batch size of one."""
    settings, summary = choose(replace(GPU, memory_gb=8.0), size=1024)
    assert settings.batch_size < 16 and settings.batch_size * settings.accumulate == 16
    assert f"({settings.batch_size} at a time, {settings.accumulate} passes)" in summary


@pytest.mark.parametrize(
    ("preset", "weights"),
    [("mask2former-nano", (2.0, 5.0, 5.0)), ("maskformer-resnet50", (1.0, 20.0, 1.0))],
)
def test_matching_weighs_classes_like_the_authors(preset, weights):
    """Elsewhere the matcher's class cost is 1 whatever the configuration says."""
    criterion = build_criterion(PRESETS[preset](3))
    assert criterion.weights == weights
    target = ComparedTarget(torch.tensor([1]), torch.ones(1, 4))
    logits = torch.tensor([[1.0, 2.0, 0.5, 0.0], [0.0, -1.0, 0.0, 3.0]])
    cost = criterion.matcher.costs(logits, torch.zeros(2, 4), target)[:, 0]
    difference = logits.softmax(-1)[0, 1] - logits.softmax(-1)[1, 1]
    torch.testing.assert_close(cost[1] - cost[0], weights[0] * difference)


def test_oneformer_trains_offline_and_one_checkpoint_supports_every_task(
    discs, tmp_path, monkeypatch
):
    """Elsewhere it needs task_inputs, text_inputs and a file from the hub, and fails in forward."""

    def refuse(*_):
        raise AssertionError("the network was accessed")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for model, task in (("tiny", "panoptic"), ("one", "all")):
        assert run(discs, tmp_path / model, model, task=task).finished
    predictor = unimask.load(tmp_path / "one", device="cpu")
    image, logits = draw_discs(0)[0], {}
    for task in TASKS:
        result = predictor.predict(image, task)
        assert result.task == task and result.labels.names == ("object", "background")
        logits[task] = predictor.network(torch.ones(1, 3, 64, 64), task).class_logits
    assert not torch.equal(logits["panoptic"], logits["semantic"])


def test_additional_queries_keep_the_trained_weights(discs, tiny_model, tmp_path, capsys):
    """Elsewhere another number of queries requires training from scratch."""
    result = run(discs, tmp_path, str(tiny_model), num_queries=300, quiet=False)
    assert "288 of 300 queries are new" in capsys.readouterr().out
    assert RunFolder(tmp_path).read_settings().num_queries == 300
    predictor = result.predictor
    assert predictor.description.config.transformer_decoder.num_queries == 300
    assert predictor.predict(np.zeros((40, 50, 3), np.uint8)).size == (40, 50)
    assert unimask.train(
        discs, str(tiny_model), out=tmp_path, resume=True, device="cpu", quiet=True
    ).finished


STEP = """
import sys, torch
from unimask.profiling.peak_memory import PeakMemory
from unimask.losses import build_criterion
from unimask.modeling.build import build_segmenter
from unimask.outputs import Target
from unimask.presets import PRESETS
from unimask.training.plan.queries import with_queries

config = with_queries("nano", PRESETS["mask2former-nano"](2), 500)
network, criterion = build_segmenter(config), build_criterion(config)
with PeakMemory(torch.device("cpu")) as start:
    peaks = []
for count in map(int, sys.argv[1:]):
    numbers = torch.arange(256 * 256).view(1, 256, 256) // 16 % count
    masks = numbers == torch.arange(count)[:, None, None]
    target = Target(torch.zeros(count, dtype=torch.long), masks)
    with PeakMemory(torch.device("cpu")) as memory:
        output = network(torch.randn(1, 3, 256, 256), ["instance"])
        criterion(output, [target]).total.backward()
    del output
    peaks.append(memory.peak - start.before)
print(peaks[-1] / peaks[-2])
"""


def test_five_hundred_objects_train_where_twenty_do():
    """Elsewhere every mask is compared at full size, and memory grows with the number of objects.

    Here it grows by the points of each mask, threefold from 20 objects to 500 at 256 x 256; with a
    number and its gradient per pixel and layer it would be more than tenfold.
    """
    paths = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
    actual = subprocess.run(
        [sys.executable, "-c", STEP, "20", "500"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert actual.returncode == 0, actual.stderr[-2000:]
    assert float(actual.stdout) < 4
