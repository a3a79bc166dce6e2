"""Raw datasets of nnU-Net: the values of nibabel, whole cases held out, and one line for errors."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from medical_files import volume_values
from volume_datasets import axial_slices, label_values, save_volume, windowed, write_nnunet

from unimask.curation import check
from unimask.datasets import describe, open_dataset, open_train_and_val
from unimask.datasets.interface import label_digest
from unimask.datasets.volumes.cache import CaseCache
from unimask.errors import DataError, SettingsError, UnimaskError

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="needs nibabel"),
]


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return write_nnunet(tmp_path_factory.mktemp("nnunet") / "Dataset001_Organs")


@pytest.fixture
def copied(ct, tmp_path):
    return shutil.copytree(ct, tmp_path / "data")


def image_path(folder, case, channel=0):
    return folder / "imagesTr" / f"{case.name}_{channel:04d}.nii.gz"


def true_map(sample):
    return np.append(-1, sample.label_ids)[sample.id_maps[0]]


@pytest.mark.parametrize("window", [(-200.0, 300.0), "z-score", "auto"])
def test_slices_have_the_values_and_labels_of_nibabel(ct, window):
    dataset = open_dataset(ct, None)
    dataset.window = window
    assert dataset.labels.names == ("background", "tissue", "bright")
    assert len(dataset) == 4 + 5 + 6 + 4 + 5
    for index, (case_index, position) in enumerate(dataset.samples):
        case = dataset.cases[case_index]
        values = axial_slices(image_path(ct, case))
        low, high = {
            "z-score": (values.mean() - 4 * values.std(), values.mean() + 4 * values.std()),
            "auto": tuple(np.percentile(values, (0.1, 99.9))),
        }.get(window if isinstance(window, str) else "", window)
        expected = windowed(values[position], low, high)
        sample = dataset[index]
        assert sample.image.shape == (20, 24, 3)
        assert np.abs(sample.image.astype(int) - expected[..., None]).max() <= (
            window != (-200, 300)
        )
        assert (
            true_map(sample) == axial_slices(ct / "labelsTr" / f"{case.name}.nii.gz")[position]
        ).all()
        assert sample.path.name == f"{case.name}_slice_{position:04d}.png"


def test_the_window_of_ct_is_that_of_numpy_on_the_labelled_voxels(ct):
    dataset = open_dataset(ct, None)
    values = [
        axial_slices(image_path(ct, case))[axial_slices(ct / f"labelsTr/{case.name}.nii.gz") > 0]
        for case in dataset.cases
    ]
    rule = dataset.measure_intensities()
    assert rule.modality == "CT" and rule.num_cases == 5
    assert rule.window == pytest.approx(np.percentile(np.concatenate(values), (0.5, 99.5)))


@pytest.mark.parametrize("modality", ["MRI", "T2", "noNorm"])
def test_other_modalities_get_the_z_score(tmp_path, modality):
    dataset = open_dataset(write_nnunet(tmp_path / "mr", count=2, modality=modality), None)
    assert dataset.measure_intensities().window == "z-score"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(patients=st.lists(st.integers(0, 6), min_size=2, max_size=10))
def test_patients_are_never_divided(ct, patients):
    dataset = open_dataset(ct, None)
    case = dataset.cases[0]
    cases = [type(case)(f"c{i}", f"p{p}", case.images, case.labels) for i, p in enumerate(patients)]
    whole = type(dataset)("d", dataset.labels, cases, dataset.info, dataset.layout)
    if len(set(patients)) == 1:
        assert not whole.can_be_divided  # its cases have 4 slices
        with pytest.raises(DataError, match="one patient"):
            whole.divide()
        return
    parts = whole.divide()
    held = {name: {case.patient for case in part.cases} for name, part in parts.items()}
    assert held["train"] and held["val"] and not held["train"] & held["val"]
    assert sorted(c.name for part in parts.values() for c in part.cases) == sorted(
        c.name for c in cases
    )
    assert sum(map(len, parts.values())) == len(whole)


def test_the_last_slices_of_the_only_patient_are_held_out(ct):
    dataset = open_dataset(ct, None)
    cases = [type(case)(case.name, "p", case.images, case.labels) for case in dataset.cases]
    whole = type(dataset)("d", dataset.labels, cases, dataset.info, dataset.layout)
    train, val = whole.divide().values()
    assert train.cases == val.cases == cases and "only one patient" in val.info.notes
    assert sorted(train.samples + val.samples) == whole.samples
    for index, case in enumerate(cases):
        held = [position for place, position in val.samples if place == index]
        assert held == [case.num_slices - 1]
    for part in (train, val):
        for place, (index, position) in enumerate(part.samples):
            original = whole[whole.samples.index((index, position))]
            assert (part[place].image == original.image).all()
            assert (true_map(part[place]) == true_map(original)).all()


def test_train_and_val_have_whole_cases_and_the_note_names_them(ct):
    train, val = open_train_and_val(ct)
    assert {case.name for case in train.cases}.isdisjoint(case.name for case in val.cases)
    assert f"1 of 5 cases held out for validation: {val.cases[0].name}" in describe(train)
    assert "axial slices of 5" in describe(val)


@pytest.mark.parametrize(("slices", "channels"), [(1, 1), (1, 3), (3, 3), (5, 5)])
def test_neighbouring_slices_are_channels(ct, slices, channels):
    dataset = open_dataset(ct, None, slices=slices, channels=channels)
    dataset.window = (-200.0, 300.0)
    for index, (case, position) in enumerate(dataset.samples[:10]):
        values = windowed(axial_slices(image_path(ct, dataset.cases[case])), -200, 300)
        around = [position + step for step in range(-(slices // 2), slices // 2 + 1)]
        expected = [values[min(max(place, 0), len(values) - 1)] for place in around]
        expected = expected * channels if slices == 1 else expected
        assert (dataset[index].image == np.stack(expected, axis=2)).all()


def test_channels_that_do_not_fit_get_one_line(ct, tmp_path):
    with pytest.raises(SettingsError, match=r"5 slices 5 channels: pass --channels 5"):
        open_dataset(ct, None, slices=5)
    folder = write_nnunet(tmp_path / "two", count=2, modality="MRI", channels=2)
    with pytest.raises(SettingsError, match="2 images per case, with 1 slice 2 channels"):
        open_dataset(folder, None)
    dataset = open_dataset(folder, None, channels=2)
    dataset.window = "auto"
    assert dataset[0].image.shape == (20, 24, 2)
    dataset = open_dataset(folder, None, channels=6, slices=3)
    assert dataset[0].image.shape == (20, 24, 6)


def test_voxels_of_the_label_ignore_are_unknown(copied):
    content = json.loads((copied / "dataset.json").read_text())
    content["labels"] = {"background": 0, "tissue": 1, "ignore": 2}
    (copied / "dataset.json").write_text(json.dumps(content))
    dataset = open_dataset(copied, None)
    assert dataset.labels.names == ("background", "tissue")
    for index, (case, position) in enumerate(dataset.samples):
        path = copied / "labelsTr" / f"{dataset.cases[case].name}.nii.gz"
        true = axial_slices(path)[position]
        ignored = dataset[index].ignored
        assert ((true == 2) == (np.zeros_like(true, bool) if ignored is None else ignored)).all()


def test_decathlon_and_version_1_are_read(copied):
    for path in sorted((copied / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace("_0000", "")))
    content = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "tissue", "2": "bright"}}
    (copied / "dataset.json").write_text(json.dumps(content))
    dataset = open_dataset(copied, None)
    assert dataset.labels.names == ("background", "tissue", "bright")
    assert len(dataset.cases) == 5


def test_check_reads_everything_and_finds_no_problem(ct):
    report = check(ct)
    assert report.passed and report.format == "nnU-Net"
    assert [survey.name for survey in report.surveys] == ["train", "val"]
    assert sum(survey.images for survey in report.surveys) == 24
    assert not [finding for finding in report.findings if "group" in finding.message]


def remove_label(folder):
    (folder / "labelsTr/case_002.nii.gz").unlink()


def remove_image(folder):
    (folder / "imagesTr/case_002_0000.nii.gz").unlink()


def other_grid(folder):
    values = label_values(volume_values((6, 20, 24), seed=2).T)
    save_volume(folder / "labelsTr/case_002.nii.gz", values, "PSR", angle=0.1, spacing=(1, 1, 3))


def other_shape(folder):
    values = label_values(volume_values((6, 20, 23), seed=2).T)
    save_volume(folder / "labelsTr/case_002.nii.gz", values, "PSR", angle=0.1)


def time_series(folder):
    import nibabel

    image = nibabel.Nifti1Image(np.zeros((4, 5, 6, 7), np.int16), np.eye(4))
    nibabel.save(image, folder / "imagesTr/case_002_0000.nii.gz")


def colours(folder):
    import nibabel

    values = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "imagesTr/case_002_0000.nii.gz")


def damaged(folder):
    path = folder / "imagesTr/case_002_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:40])


def with_json(**changes):
    def change(folder):
        content = json.loads((folder / "dataset.json").read_text()) | changes
        (folder / "dataset.json").write_text(json.dumps(content))

    return change


def no_json(folder):
    (folder / "dataset.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_label, r"case_002_0000.nii.gz has no label in labelsTr"),
        (remove_image, r"labelsTr/case_002.nii.gz has no image imagesTr/case_002_0000.nii.gz"),
        (other_grid, r"case_002.nii.gz is on another grid than .*of 1 x 3 x 1 mm.*resample"),
        (other_shape, r"case_002.nii.gz is on another grid than .*resample"),
        (time_series, r"case_002_0000.nii.gz is 4-D \(4 x 5 x 6 x 7\)"),
        (colours, r"case_002_0000.nii.gz has RGB colours in its voxels"),
        (damaged, r"case_002_0000.nii.gz is damaged"),
        (no_json, r"dataset.json cannot be read as JSON"),
        (with_json(labels={"background": 0, "whole": [1, 2]}), "region 'whole' of several labels"),
        (with_json(labels={"background": 0, "a": "x"}), "label 'a' of value 'x': pass an integer"),
        (with_json(labels={"background": 0, "a": 1, "b": 1}), "uses the value 1 for 'a' and 'b'"),
        (with_json(labels={"background": 0}), "names no label besides the background"),
        (with_json(file_ending=".mha"), r"file_ending '.mha': convert the files to .nii.gz"),
        (with_json(labels=None), "has no labels: add them"),
        (with_json(channel_names={}), "has no channel_names"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_gets_one_line(copied, change, message):
    change(copied)
    with pytest.raises(UnimaskError, match=message) as raised:
        open_dataset(copied, None)
    assert "\n" not in str(raised.value)


def test_values_without_a_name_are_found_once_and_name_the_file(copied):
    with_json(labels={"background": 0, "tissue": 1})(copied)
    dataset = open_dataset(copied, None)
    message = r"case_000.nii.gz holds the value 2, which dataset.json does not name"
    for _ in range(2):
        with pytest.raises(DataError, match=message):
            dataset[0]
    report = check(copied)
    assert not report.passed
    assert any("unreadable" in f.message or "cannot" in f.message for f in report.findings)


def test_soft_labels_get_one_line(copied):
    values = volume_values((4, 20, 24), seed=0).T
    save_volume(copied / "labelsTr/case_000.nii.gz", values / 7.0, "RAS")
    with pytest.raises(DataError, match="holds fractions, no labels"):
        open_dataset(copied, None)[0]


def test_changed_files_have_other_digests(copied):
    before = [label_digest(open_dataset(copied, None), index) for index in (0, 10)]
    values = label_values(volume_values((4, 20, 24), seed=9).T)
    save_volume(copied / "labelsTr/case_000.nii.gz", values, "RAS")
    after = [label_digest(open_dataset(copied, None), index) for index in (0, 10)]
    assert before[0] != after[0] and before[1] == after[1]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.lists(st.integers(0, 4), min_size=1, max_size=20), cases=st.integers(1, 3))
def test_the_cache_is_bounded_and_returns_every_case(ct, order, cases):
    dataset = open_dataset(ct, None)
    size = max(dataset.decode(index).num_bytes for index in range(5))
    cache = CaseCache(dataset.decode, max_bytes=cases * size)
    for index in order:
        assert (cache.get(index).labels == dataset.cache.get(index).labels).all()
        assert sum(case.num_bytes for case in cache.cases.values()) <= cases * size


def test_real_volumes_of_the_spinal_cord(real_data, tmp_path):
    """T1 and T2 of different orientation, against nibabel."""
    folder = real_data / "medical/sct"
    files = {"a": ("t1/t1w", "t1/t1w_seg-manual"), "b": ("t2/t2", "t2/t2_seg-manual")}
    for name in ("imagesTr", "labelsTr"):
        (tmp_path / name).mkdir()
    for case, (image, label) in files.items():
        (tmp_path / f"imagesTr/{case}_0000.nii.gz").symlink_to(folder / f"{image}.nii.gz")
        (tmp_path / f"labelsTr/{case}.nii.gz").symlink_to(folder / f"{label}.nii.gz")
    content = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "cord": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path, None)
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dataset.measure_intensities().window == "z-score"
    dataset.window = (0.0, 1000.0)
    for index in range(0, len(dataset), 16):
        case, position = dataset.samples[index]
        name = dataset.cases[case].name
        values = axial_slices(tmp_path / f"imagesTr/{name}_0000.nii.gz")[position]
        truth = axial_slices(tmp_path / f"labelsTr/{name}.nii.gz")[position]
        assert (dataset[index].image == windowed(values, 0, 1000)[..., None]).all()
        assert (true_map(dataset[index]) == truth).all()
