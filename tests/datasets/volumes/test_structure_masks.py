"""Cases with a mask per structure, as in TotalSegmentator's dataset."""

import importlib.util

import numpy as np
import pytest
from medical_files import volume_values
from volume_datasets import axial_slices, save_volume

from unimask.curation import check
from unimask.datasets import open_dataset
from unimask.errors import DataError, SettingsError

pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="needs nibabel"),
]


def write_cases(folder, count=3):
    for i in range(count):
        values = volume_values((4, 12, 14), seed=i).T
        masks = {"liver": values > -500, "vessel_left": values > 150, "lung": values < -990}
        if i == 1:
            del masks["lung"]
        save_volume(folder / f"s{i:04d}/ct.nii.gz", values, "LPS", angle=0.1)
        for name, mask in masks.items():
            path = folder / f"s{i:04d}/segmentations/{name}.nii.gz"
            save_volume(path, mask.astype(np.uint8), "LPS", angle=0.1)
    return folder


def test_files_are_structures_and_smaller_ones_are_in_front(tmp_path):
    dataset = open_dataset(write_cases(tmp_path), None)
    assert dataset.labels.names == ("background", "liver", "lung", "vessel_left")
    assert [case.patient for case in dataset.cases] == ["s0000", "s0001", "s0002"]
    for index, (case, position) in enumerate(dataset.samples):
        folder = dataset.cases[case].images[0].path.parent / "segmentations"
        masks = {path.name[:-7]: axial_slices(path) > 0 for path in folder.iterdir()}
        expected = np.zeros(masks["liver"].shape, int)
        for name in sorted(masks, key=lambda name: -masks[name].sum()):
            expected[masks[name]] = dataset.labels.names.index(name)
        sample = dataset[index]
        found = np.append(0, sample.label_ids)[sample.id_maps[0]]
        assert (found == expected[position]).all()
    assert dataset.measure_intensities().modality == "CT"


def test_what_does_not_fit_gets_one_line(tmp_path):
    write_cases(tmp_path)
    with pytest.raises(SettingsError, match="--names cannot rename masks"):
        open_dataset(tmp_path, None, names=("a", "b", "c"))
    values = (volume_values((4, 12, 14), seed=0).T > 0) * np.uint8(2)
    values[0] = 1
    save_volume(tmp_path / "s0000/segmentations/lung.nii.gz", values, "LPS", angle=0.1)
    with pytest.raises(DataError, match=r"lung.nii.gz holds the values 1, 2, but its folder has"):
        open_dataset(tmp_path, None)[0]
    save_volume(tmp_path / "s0000/segmentations/lung.nii.gz", values, "LPS", angle=0.2)
    with pytest.raises(DataError, match=r"lung.nii.gz is on another grid than .*ct.nii.gz"):
        open_dataset(tmp_path, None)


def test_check_compares_no_empty_slices_and_reports_shared_patients(tmp_path):
    for split, session in (("train", 1), ("val", 2)):
        for patient in (1, 2):
            values = volume_values((4, 12, 14), seed=10 * session + patient).T
            values[..., 0] = -1000  # a slice of air, equal in all cases
            stem = f"sub-{patient + session:02d}_ses-{session}_T1w"
            save_volume(tmp_path / f"{split}/{stem}.nii.gz", values)
            save_volume(tmp_path / f"{split}/{stem}_seg.nii.gz", (values > -500).astype(np.uint8))
    report = check(tmp_path, window=(-1000.0, 500.0))
    assert report.passed
    messages = [finding for finding in report.findings if "patients of train" in finding.message]
    assert [finding.files for finding in messages] == [("sub-03_ses-2_T1w",)]
    assert not any("more than once" in finding.message for finding in report.findings)
