"""DICOM series with DICOM SEG: the labels of dcmqi, whole patients held out, clear errors."""

import importlib.util
import shutil

import numpy as np
import pytest
from medical_files import change, volume_values, write_series
from volume_datasets import label_values, windowed

from unimask.datasets import open_dataset
from unimask.datasets.interface import label_digest
from unimask.errors import DataError, UnimaskError
from unimask.volumes import open_volume
from unimask.volumes.dicom_seg_file import seg_bytes

NAMES = ("pydicom", "highdicom", "nibabel", "nrrd")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


def true_map(sample):
    return np.append(-1, sample.label_ids)[sample.id_maps[0]]


def write_case(folder, number, *, patient=None, seg="labels/seg.dcm"):
    """Write a series and a DICOM SEG with the segments tissue and bright."""
    values = volume_values((4, 12, 14), seed=number)
    series = f"1.2.3.{number + 1}"
    write_series(folder / "ct", values, series=series, PatientID=patient or f"P{number}")
    volume = open_volume(folder / "ct")
    (folder / seg).parent.mkdir(exist_ok=True)
    data = seg_bytes(label_values(values.T), {"tissue": 1, "bright": 2}, volume)
    (folder / seg).write_bytes(data)
    return values


def test_real_labels_of_dcmqi(real_data, tmp_path):
    """A CT of 3 slices, whose liver dcmqi wrote as DICOM SEG from an NRRD file."""
    import nrrd

    folder = real_data / "medical/dicom_seg/data/segmentations"
    shutil.copytree(folder / "ct-3slice", tmp_path / "images")
    shutil.copy(folder / "liver.dcm", tmp_path)
    dataset = open_dataset(tmp_path, None)
    truth, _ = nrrd.read(str(folder / "liver_seg.nrrd"))  # left, posterior, superior
    assert dataset.labels.names == ("background", "Liver")
    for index, sample in enumerate(dataset):
        assert (true_map(sample) == (truth[..., index].T > 0)).all()
    values = open_volume(tmp_path / "images").values[truth > 0]  # a tenth of them is used
    rule = dataset.measure_intensities()
    assert rule.modality == "CT"
    assert rule.window == pytest.approx(np.percentile(values, (0.5, 99.5)), abs=10)


def test_segments_that_overlap_get_one_line(real_data, tmp_path):
    folder = real_data / "medical/dicom_seg/data/segmentations"
    shutil.copytree(folder / "ct-3slice", tmp_path / "images")
    shutil.copy(folder / "partial_overlaps.dcm", tmp_path)
    with pytest.raises(UnimaskError, match="has segments that overlap"):
        open_dataset(tmp_path, None)[0]


def test_values_and_labels_of_a_folder_of_patients(tmp_path):
    values = [write_case(tmp_path / f"p{i}", i) for i in range(3)]
    dataset = open_dataset(tmp_path, None)
    assert dataset.labels.names == ("background", "bright", "tissue")
    assert [case.name for case in dataset.cases] == ["p0_ct", "p1_ct", "p2_ct"]
    dataset.window = (-200.0, 300.0)
    for index, (case, position) in enumerate(dataset.samples):
        expected = values[case][position]
        sample = dataset[index]
        assert (sample.image == windowed(expected, -200, 300)[..., None]).all()
        assert (true_map(sample) == np.array([0, 2, 1])[label_values(expected)]).all()


def test_series_of_a_patient_stay_together(tmp_path):
    for i in range(6):
        write_case(tmp_path / f"study{i}", i, patient=f"P{i // 2}")
    parts = open_dataset(tmp_path, None).divide()
    held = {name: {case.patient for case in part.cases} for name, part in parts.items()}
    assert held["train"].isdisjoint(held["val"])
    assert (len(parts["train"].cases), len(parts["val"].cases)) == (4, 2)


def test_a_seg_of_fewer_slices_and_files_without_preamble(tmp_path):
    values = write_case(tmp_path, 0, seg="seg.dcm")
    volume = open_volume(tmp_path / "ct")
    labels = label_values(values.T)
    labels[:, :, [0, 3]] = 0
    (tmp_path / "seg.dcm").write_bytes(seg_bytes(labels, {"tissue": 1, "bright": 2}, volume))
    for path in sorted((tmp_path / "ct").iterdir()):
        path.with_suffix("").write_bytes(path.read_bytes()[132:])  # no preamble, no suffix
        path.unlink()
    dataset = open_dataset(tmp_path, None)
    for index, sample in enumerate(dataset):
        assert (true_map(sample) == np.array([0, 2, 1])[labels[..., index].T]).all()


def test_empty_elements_count_as_missing(tmp_path):
    values = write_case(tmp_path, 0)
    for path in (tmp_path / "ct").iterdir():
        change(path, SliceThickness=None, PatientID="", SeriesNumber=None)
    dataset = open_dataset(tmp_path, None)
    assert dataset.cases[0].patient == "ct" and len(dataset) == len(values)


def test_changed_slices_have_other_digests(tmp_path):
    write_case(tmp_path, 0)
    before = label_digest(open_dataset(tmp_path, None), 0)
    path = sorted((tmp_path / "ct").iterdir())[1]
    change(path, PatientName="Somebody^Else")
    assert label_digest(open_dataset(tmp_path, None), 0) != before


def missing_slice(folder):
    paths = sorted((folder / "ct").iterdir())
    heights = {path: open_position(path) for path in paths}
    sorted(paths, key=heights.get)[1].unlink()


def open_position(path):
    import pydicom

    return float(pydicom.dcmread(path).ImagePositionPatient[2])


def missing_series(folder):
    shutil.rmtree(folder / "ct")


def damaged(folder):
    path = sorted((folder / "ct").iterdir())[0]
    path.write_bytes(path.read_bytes()[:200])


def mixed_spacing(folder):
    change(sorted((folder / "ct").iterdir())[0], PixelSpacing=[0.5, 0.5])


def colours(folder):
    for path in (folder / "ct").iterdir():
        change(path, PhotometricInterpretation="RGB", SamplesPerPixel=3)


def other_place(folder):
    for path in (folder / "ct").iterdir():
        change(path, ImagePositionPatient=[5, 5, open_position(path) + 0.4])


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (missing_slice, "slice"),
        (missing_series, "seg.dcm refers to images that are not in the folder"),
        (damaged, "is no DICOM file|is damaged"),
        (mixed_spacing, "PixelSpacing|spacing"),
        (colours, "has RGB voxels"),
    ],
)
def test_what_cannot_be_read_gets_one_line(tmp_path, alter, message):
    write_case(tmp_path, 0)
    alter(tmp_path)
    with pytest.raises(UnimaskError, match=message) as raised:
        open_dataset(tmp_path, None)
    assert "\n" not in str(raised.value)


def test_a_seg_on_another_grid_gets_one_line(tmp_path):
    write_case(tmp_path, 0)
    other_place(tmp_path)
    with pytest.raises(DataError, match=r"seg.dcm is on another grid than .*ct"):
        open_dataset(tmp_path, None)[0]
