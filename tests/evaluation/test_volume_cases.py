"""Scores of datasets of volumes: those of the label maps that `predict_volume` writes."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from conftest import tiny_checkpoint, with_description
from medical_files import volume_values
from volume_datasets import axial_slices, label_values, save_volume, windowed, write_nnunet

import unimask
from unimask.checkpoints import write_huggingface
from unimask.config import PreprocessingConfig
from unimask.datasets import open_dataset
from unimask.errors import DataError, SettingsError, TaskError
from unimask.labels import LabelSet

NAMES = ("nibabel", "surface_distance")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    # surface-distance imports from a namespace of SciPy that is deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_nnunet(tmp_path_factory.mktemp("nnunet") / "Dataset001_Organs", count=3)
    content = json.loads((folder / "dataset.json").read_text())
    content["labels"] = {"background": 0, "tissue": 1, "ignore": 2}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module", params=[1, 3])
def model_folder(request, tmp_path_factory):
    """Model with a window, and with one or three slices as channels."""
    checkpoint = tiny_checkpoint(seed=3)
    for name, tensor in checkpoint.state.items():
        if name.endswith("class_embed.bias"):
            tensor.copy_(torch.tensor([0.0, 1.0, 0.0]))
    rules = PreprocessingConfig(
        shortest_edge=96, longest_edge=160, window=(-200.0, 300.0), slices=request.param
    )
    labels = LabelSet(("background", "tissue"), (False, False))
    folder = tmp_path_factory.mktemp("organs")
    described = with_description(
        checkpoint, labels=labels, tasks=("semantic",), preprocessing=rules
    )
    write_huggingface(folder, described)
    return folder


def test_the_window_and_the_slices_are_saved_with_the_weights(model_folder):
    rules = unimask.load(model_folder).description.preprocessing
    assert rules.window == (-200.0, 300.0) and rules.slices in (1, 3)


def test_scores_are_those_of_the_volumes_that_predict_volume_writes(data, model_folder):
    """Dice by nibabel and numpy, NSD and HD95 by DeepMind's package."""
    import nibabel
    import surface_distance

    model = unimask.load(model_folder)
    report = unimask.evaluate(data, model, split="train", tolerance=1.5)
    cases = report["volumes"]["cases"]
    assert cases and report["volumes"]["tolerance_mm"] == 1.5
    for case, scores in cases.items():
        result = model.predict_volume(data / f"imagesTr/{case}_0000.nii.gz")
        image = nibabel.load(data / f"labelsTr/{case}.nii.gz")
        truth = np.asarray(image.dataobj)
        found = (result.classes == 1) & (truth != 2)
        true = truth == 1
        assert 0 < found.sum() < found.size
        dice = 200 * (found & true).sum() / (found.sum() + true.sum())
        spacing = np.linalg.norm(image.affine[:3, :3], axis=0)
        distances = surface_distance.compute_surface_distances(true, found, spacing)
        assert scores["tissue"]["Dice"] == pytest.approx(dice)
        assert scores["tissue"]["HD95"] == pytest.approx(
            surface_distance.compute_robust_hausdorff(distances, 95), rel=1e-5
        )
        assert scores["tissue"]["NSD"] == pytest.approx(
            100 * surface_distance.compute_surface_dice_at_tolerance(distances, 1.5), rel=1e-5
        )
    dices = [scores["tissue"]["Dice"] for scores in cases.values()]
    assert report["volumes"]["per_structure"]["tissue"]["Dice"] == pytest.approx(np.mean(dices))
    assert report["volumes"]["metrics"]["Dice"] == pytest.approx(np.mean(dices))


def test_every_slice_gets_the_labels_of_predict_volume(data, model_folder):
    model = unimask.load(model_folder)
    dataset = open_dataset(data, None, slices=model.description.preprocessing.slices)
    dataset.window = model.description.preprocessing.window
    for case_index, case in enumerate(dataset.cases):
        result = model.predict_volume(data / f"imagesTr/{case.name}_0000.nii.gz")
        slices = result.plane.view(result.classes)
        for index, (of_case, position) in enumerate(dataset.samples):
            if of_case == case_index:
                alone = model.predict(dataset[index].image, "semantic", window=(0.0, 255.0))
                assert (alone.segmentation == slices[position]).all()


def test_only_the_held_out_slices_of_the_only_patient_are_scored(tmp_path):
    """Shifted labels as results; the last of 6 slices is held out."""
    folder = write_nnunet(tmp_path / "Dataset002_Single", count=1)
    values = np.roll(volume_values(), 3, axis=0).T  # organs in the outer slices
    truth = label_values(values)
    found = np.roll(truth, 2, axis=0)
    save_volume(folder / "imagesTr/case_000_0000.nii.gz", values, "PSR")
    save_volume(folder / "labelsTr/case_000.nii.gz", truth, "PSR")
    save_volume(tmp_path / "found/case_000.nii.gz", found, "PSR")
    for split, true, other in ((None, truth, found), ("val", truth[..., -1:], found[..., -1:])):
        report = unimask.evaluate(folder, results=tmp_path / "found", split=split)
        assert report["images"] == true.shape[2]
        scores = report["volumes"]["cases"]["case_000"]
        for value, name in ((1, "tissue"), (2, "bright")):
            one, two = true == value, other == value
            dice = 200 * (one & two).sum() / (one.sum() + two.sum())
            assert 0 < dice < 100 and scores[name]["Dice"] == pytest.approx(dice)


def test_the_command_prints_and_writes_the_scores(data, model_folder, tmp_path, command):
    path = tmp_path / "scores.json"
    options = ("--model", model_folder, "--split", "train", "--json", path, "--tolerance", 3)
    code, printed, errors = command("evaluate", data, *options)
    assert code == 0, errors
    assert "NSD 3 mm" in printed and "structure" in printed and "case_00" in printed
    report = json.loads(path.read_text())
    assert set(report["volumes"]) == {"tolerance_mm", "metrics", "per_structure", "cases"}


def test_a_tolerance_for_images_gets_one_line(discs, tiny_model):
    with pytest.raises(SettingsError, match="applies to volumes"):
        unimask.evaluate(discs, tiny_model, tolerance=1.0)


def test_label_maps_of_the_model_get_its_scores(data, model_folder, tmp_path):
    """Maps of `unimask volume`, by the name of the image, and of nnU-Net, by that of the case."""
    import nibabel

    model = unimask.load(model_folder)
    expected = unimask.evaluate(data, model, split="train")["volumes"]
    for case in expected["cases"]:
        result = model.predict_volume(data / f"imagesTr/{case}_0000.nii.gz")
        written = result.save(tmp_path / "ours")
        (tmp_path / "theirs").mkdir(exist_ok=True)
        copy = nibabel.load(written["classes"])
        nibabel.save(nibabel.as_closest_canonical(copy), tmp_path / f"theirs/{case}.nii.gz")
    for folder in ("ours", "theirs"):
        report = unimask.evaluate(data, results=tmp_path / folder, split="train")
        assert report["volumes"] == expected


def test_maps_that_do_not_fit_get_one_line(data, tmp_path):
    import nibabel

    with pytest.raises(DataError, match="no result for any of the"):
        (tmp_path / "none").mkdir()
        nibabel.save(
            nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "none/x.nii"
        )
        unimask.evaluate(data, results=tmp_path / "none", split="train")
    case = open_dataset(data, "train").cases[0].name
    truth = nibabel.load(data / f"labelsTr/{case}.nii.gz")
    values = np.asarray(truth.dataobj) % 2  # without the label that is ignored
    for name, array, message in [
        ("values", values + np.uint8(5), "holds the values 5, 6.*which the data does not name"),
        ("shape", values[1:], "is on another grid"),
    ]:
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(array, truth.affine), tmp_path / f"{name}/{case}.nii.gz")
        with pytest.raises(DataError, match=message):
            unimask.evaluate(data, results=tmp_path / name, split="train")
    with pytest.raises(TaskError, match="holds label maps, which are semantic"):
        unimask.evaluate(data, results=tmp_path / "values", split="train", task="instance")


@pytest.mark.parametrize("model_folder", [1], indirect=True)
def test_several_images_of_a_case_are_channels(model_folder, tmp_path, command):
    """Three images per case: the labels of slices are those of `predict_volume` on the three."""
    import nibabel

    data = write_nnunet(tmp_path / "mr", count=3, modality="MRI", channels=3)
    model = unimask.load(model_folder)
    dataset = open_dataset(data, None)
    dataset.window = model.description.preprocessing.window
    for case_index, case in enumerate(dataset.cases):
        files = [data / f"imagesTr/{case.name}_{channel:04d}.nii.gz" for channel in range(3)]
        result = model.predict_volume(files)
        slices = result.plane.view(result.classes)
        own = [place for place in enumerate(dataset.samples) if place[1][0] == case_index]
        for index, (_, position) in own:
            alone = model.predict(dataset[index].image, "semantic", window=(0.0, 255.0))
            assert (alone.segmentation == slices[position]).all()
            shown = [windowed(axial_slices(file)[position], -200, 300) for file in files]
            assert (dataset[index].image == np.stack(shown, axis=2)).all()
    options = ("--model", model_folder, "--channel", files[1], "--channel", files[2])
    code, _, errors = command("volume", files[0], *options, "--out", tmp_path / "out")
    assert code == 0, errors
    written = nibabel.load(tmp_path / f"out/{case.name}_0000_classes.nii.gz")
    assert (np.asarray(written.dataobj) == result.classes).all()

    with pytest.raises(SettingsError, match="2 images of a case with 1 neighbouring slices need"):
        model.predict_volume(files[:2])
    other = data / "imagesTr/case_001_0000.nii.gz"
    with pytest.raises(DataError, match=r"case_001_0000.nii.gz is on another grid than .*case_002"):
        model.predict_volume([files[0], other, other])
