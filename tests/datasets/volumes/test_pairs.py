"""Volumes and label maps that belong together by their names, in layouts of published datasets."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from medical_files import volume_values
from volume_datasets import axial_slices, label_values, save_volume

from unimask.datasets import describe, open_dataset
from unimask.datasets.opening import detect_format
from unimask.datasets.volumes.pairing import volume_key
from unimask.errors import DataError, SettingsError, UnimaskError

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("nibabel", "nrrd"))), reason="needs nibabel, pynrrd"
    ),
]

LAYOUTS = {
    "two folders": [("images/{i}.nii.gz", "labels/{i}.nii.gz")],
    "numbered": [("img/img{i:04d}.nii.gz", "label/label{i:04d}.nii.gz")],
    "endings": [("p{i}.nii", "p{i}_seg-manual.nii.gz")],
    "BIDS": [
        (
            "sub-{i:02d}/anat/sub-{i:02d}_T2w.nii.gz",
            "derivatives/labels/sub-{i:02d}/anat/sub-{i:02d}_T2w_label-SC_seg.nii.gz",
        )
    ],
    "folder per patient": [("patient{i}/image.nii.gz", "patient{i}/label.nii.gz")],
    "one image per folder": [("s{i:04d}/ct.nii.gz", "s{i:04d}/liver_seg.nii.gz")],
}


def write_pair(folder, image, label, seed, **options):
    values = volume_values((4, 12, 14), seed=seed).T
    save_volume(folder / image, values, **options)
    save_volume(folder / label, label_values(values), **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_published_datasets(tmp_path, layout):
    pairs = [
        (i, image.format(i=i), label.format(i=i))
        for i in range(3)
        for image, label in LAYOUTS[layout]
    ]
    for i, image, label in pairs:
        write_pair(tmp_path, image, label, i, codes=("RAS", "LPS", "PSR")[i])
    dataset = open_dataset(tmp_path, None, names=("tissue", "bright"))
    assert dataset.labels.names == ("background", "tissue", "bright")
    assert len({case.patient for case in dataset.cases}) == len(dataset.cases) == 3
    assert len({case.name for case in dataset.cases}) == 3
    found = {case.images[0].path: case.labels.paths for case in dataset.cases}
    assert found == {tmp_path / image: (tmp_path / label,) for _, image, label in pairs}
    for index in range(0, len(dataset), 3):
        case, position = dataset.samples[index]
        truth = axial_slices(dataset.cases[case].labels.path)[position]
        sample = dataset[index]
        assert (np.append(0, sample.label_ids)[sample.id_maps[0]] == truth).all()


def test_sessions_of_a_patient_stay_together(tmp_path):
    for patient in (1, 2, 3):
        for session in (1, 2):
            stem = f"sub-{patient:02d}_ses-{session}_T1w"
            write_pair(tmp_path, f"images/{stem}.nii.gz", f"labels/{stem}.nii.gz", patient)
    parts = open_dataset(tmp_path, None).divide()
    held = {name: {case.name[:6] for case in part.cases} for name, part in parts.items()}
    assert held["train"].isdisjoint(held["val"]) and len(held["val"]) == 1
    assert len(parts["val"].cases) == 2


def test_several_sequences_are_channels(tmp_path):
    for i in range(2):
        values = volume_values((4, 12, 14), seed=i).T
        for number, sequence in enumerate(("flair", "t1", "t1ce")):
            save_volume(tmp_path / f"BRATS_{i:03d}_{sequence}.nii.gz", values + number)
        save_volume(tmp_path / f"BRATS_{i:03d}_seg.nii.gz", label_values(values))
    dataset = open_dataset(tmp_path, None)
    assert [len(case.images) for case in dataset.cases] == [3, 3]
    dataset.window = (-1000.0, 300.0)
    assert dataset[1].image.shape == (12, 14, 3)
    with pytest.raises(SettingsError, match="3 images per case, with 3 slices 9 channels"):
        open_dataset(tmp_path, None, slices=3)


def test_labels_whose_axes_have_another_order_are_turned(tmp_path):
    values = volume_values((4, 12, 14), seed=3).T
    save_volume(tmp_path / "images/a.nii.gz", values, "RAS", angle=0.1)
    save_volume(tmp_path / "labels/a.nii.gz", label_values(values), "SPL", angle=0.1)
    dataset = open_dataset(tmp_path, None)
    truth = axial_slices(tmp_path / "labels/a.nii.gz")
    for index, sample in enumerate(dataset):
        assert (np.append(0, sample.label_ids)[sample.id_maps[0]] == truth[index]).all()


def test_nrrd_is_read(tmp_path):
    import nrrd

    values = volume_values((4, 12, 14), seed=3).T
    for name, array in (("images", values), ("labels", label_values(values))):
        (tmp_path / name).mkdir()
        header = {"space": "right-anterior-superior", "space directions": np.diag((1, 1, 3.0))}
        nrrd.write(str(tmp_path / name / "a.nrrd"), array, header)
    dataset = open_dataset(tmp_path, None)
    assert detect_format(tmp_path).format == "volume pairs"
    truth = label_values(values)[::-1, ::-1, 2].T
    assert (np.append(0, dataset[2].label_ids)[dataset[2].id_maps[0]] == truth).all()


def test_own_splits_and_names_of_values(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        for i in range(count):
            write_pair(tmp_path / split, f"images/{i}.nii.gz", f"labels/{i}.nii.gz", i)
    train, val = open_dataset(tmp_path, "train"), open_dataset(tmp_path, "val")
    assert (len(train.cases), len(val.cases)) == (2, 1)
    assert train.labels == val.labels and train.labels.names == ("background", "1", "2")
    with pytest.raises(SettingsError, match="hold the values 1, 2: pass one name for each"):
        open_dataset(tmp_path, "train", names=("a", "b", "c"))


def test_masks_chooses_one_of_several_label_maps(tmp_path):
    for i in range(2):
        write_pair(tmp_path, f"p{i}.nii.gz", f"p{i}_seg.nii.gz", i)
        write_pair(tmp_path, f"p{i}.nii.gz", f"p{i}_lesion.nii.gz", i)
        write_pair(tmp_path, f"p{i}.nii.gz", f"rater2/labels/p{i}_seg.nii.gz", i)
    for masks, name in (("_lesion", "p0_lesion.nii.gz"), ("_seg", "p0_seg.nii.gz")):
        if masks == "_seg":
            (tmp_path / "rater2").rename(tmp_path / ".hidden")
        for format in (None, "nifti"):
            dataset = open_dataset(tmp_path, None, masks=masks, format=format)
            assert dataset.cases[0].labels.paths[0].name == name
            assert [len(case.images) for case in dataset.cases] == [1, 1]
    with pytest.raises(DataError, match=r"no volume ends with '_other' \(--masks\)"):
        open_dataset(tmp_path, None, masks="_other")


def test_images_without_labels_are_left_out_with_a_note(tmp_path):
    write_pair(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", 0)
    save_volume(tmp_path / "images/b.nii.gz", volume_values((4, 12, 14)).T)
    assert "1 volumes without labels are left out" in describe(open_dataset(tmp_path, None))


def empty_labels(folder):
    save_volume(folder / "labels/a.nii.gz", np.zeros((14, 12, 4), np.uint8))


def second_label(folder):
    values = volume_values((4, 12, 14)).T
    save_volume(folder / "labels/a_gmseg.nii.gz", label_values(values))


def without_image(folder):
    (folder / "images/a.nii.gz").rename(folder / "images/b.nii.gz")


def probabilities(folder):
    save_volume(folder / "labels/a.nii.gz", np.full((14, 12, 4), 0.3, np.float32))


def negative(folder):
    save_volume(folder / "labels/a.nii.gz", np.full((14, 12, 4), -3, np.int16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (empty_labels, "hold only 0: label some"),
        (
            second_label,
            r"has two label maps, a(_gmseg)?.nii.gz and a(_gmseg)?.nii.gz: choose an ending",
        ),
        (without_image, r"a.nii.gz has no image: add a volume whose name is 'a'"),
        (probabilities, "a.nii.gz holds fractions, no labels"),
        (negative, "a.nii.gz holds values from -3 to -3: labels are integers from 0"),
    ],
)
def test_what_does_not_fit_gets_one_line(tmp_path, change, message):
    write_pair(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", 0)
    change(tmp_path)
    with pytest.raises(UnimaskError, match=message) as raised:
        open_dataset(tmp_path, None)
    assert "\n" not in str(raised.value)


@given(
    stem=st.text("ab01_-.", min_size=1, max_size=12),
    word=st.sampled_from(["seg", "gmseg", "label", "mask"]),
)
def test_the_key_of_a_label_is_that_of_its_image(stem, word):
    key = volume_key(stem)
    assert volume_key(key) == key
    assert volume_key(f"{stem}_{word}") in (key, volume_key(f"{key}_{word}"))


def test_real_pairs_of_the_spinal_cord(real_data):
    dataset = open_dataset(real_data / "medical/sct", None, names=("cord",))
    found = {case.images[0].path.name: case.labels.path.name for case in dataset.cases}
    assert found == {
        "t1w.nii.gz": "t1w_seg-manual.nii.gz",
        "t2.nii.gz": "t2_seg-manual.nii.gz",
        "t2_fake_lesion.nii.gz": "t2_fake_lesion_lesion_seg.nii.gz",
        "t2s_uncropped.nii.gz": "t2s_uncropped_gmseg_manual.nii.gz",
    }
    with pytest.raises(DataError, match="no split 'test'"):
        open_dataset(real_data / "medical/sct", "test", names=("cord",))
