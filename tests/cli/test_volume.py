"""`unimask volume`: files, what is printed, and one line for bad input."""

import importlib.util

import numpy as np
import pytest
from medical_files import change, volume_values, write_series

HAS_MEDICAL = all(
    importlib.util.find_spec(name) is not None for name in ("nibabel", "pydicom", "highdicom")
)
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(not HAS_MEDICAL, reason="needs nibabel, pydicom and highdicom"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


@pytest.fixture
def scan(tmp_path):
    write_series(tmp_path / "ct", volume_values((4, 20, 24)))
    return tmp_path / "ct"


def test_a_series(command, two_class_model, scan, tmp_path):
    import nibabel

    out = tmp_path / "out"
    options = ("--model", two_class_model, "--task", "semantic", "--out", out)
    code, printed, errors = command("volume", scan, *options, "--window", "soft-tissue", "--seg")
    assert code == 0, errors
    assert "24 x 20 x 4 voxels of 0.9 x 0.7 x 2.5 mm" in printed
    assert "4 axial slices along axis 2, 2.5 mm apart; window -150,249" in printed
    names = {"ct.json", "ct_classes.nii.gz", "ct_volumes.csv", "ct_seg.dcm", "unimask.json"}
    assert {path.name for path in out.iterdir()} == names
    assert np.asarray(nibabel.load(out / "ct_classes.nii.gz").dataobj).any()

    code, printed, errors = command(
        "volume", scan, *options, "--window-center", 50, "--window-width", 400, "--axis", "sagittal"
    )
    assert code == 0, errors
    assert "24 sagittal slices along axis 0" in printed and "window -150,249" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--window", "lungs"), "'lungs' is unknown"),
        (("--window", "5,1"), "LOW must be below HIGH"),
        (("--window-center", 5), "belong together"),
        (("--series", 2), "series fit '2'"),
        (("--axis", "up"), "pass auto, axial"),
        (("--task", "detection"), "task"),
    ],
)
def test_bad_options_get_one_line(command, two_class_model, scan, tmp_path, options, message):
    arguments = ("--model", two_class_model, "--out", tmp_path / "out")
    code, _, errors = command("volume", scan, *arguments, *options)
    assert code == 2 and message in errors and errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_missing_uids_are_reported_before_the_prediction(command, two_class_model, scan, tmp_path):
    for path in scan.iterdir():
        change(path, StudyInstanceUID="")
    arguments = ("--model", two_class_model, "--out", tmp_path / "out", "--seg")
    code, _, errors = command("volume", scan, *arguments)
    assert code == 2 and "has no StudyInstanceUID" in errors and errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_bad_sources_get_one_line(command, two_class_model, tmp_path):
    import nibabel

    (tmp_path / "empty").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "a.nii")
    arguments = ("--model", two_class_model, "--out", tmp_path / "out")
    for source, options, message in [
        ("missing.nii", (), "does not exist"),
        ("empty", (), "holds no DICOM files"),
        ("a.nii", ("--seg",), "is no DICOM, to which a DICOM SEG refers"),
        ("a.nii", ("--series", "1"), "is for DICOM folders"),
    ]:
        code, _, errors = command("volume", tmp_path / source, *arguments, *options)
        assert code == 2 and message in errors and errors.count("\n") == 1
