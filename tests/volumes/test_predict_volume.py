"""`predict_volume`: labels on the grid of the source, windows, objects through slices, outputs."""

import csv
import gzip
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from medical_files import change, rotation, volume_values, write_series
from skimage import measure

import unimask
from unimask.errors import OutputError, SettingsError, TaskError
from unimask.formats.run_length import RunLength
from unimask.labels import LabelSet
from unimask.processing.images import ImageWarning
from unimask.results import Result, Segment
from unimask.volumes import Volume, open_volume
from unimask.volumes.dicom_seg import read_dicom_seg
from unimask.volumes.labelled_volume import class_values
from unimask.volumes.windows import PRESETS, WindowOptions, choose_window

HAS_MEDICAL = all(
    importlib.util.find_spec(name) is not None for name in ("nibabel", "pydicom", "highdicom")
)
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(not HAS_MEDICAL, reason="needs nibabel, pydicom and highdicom"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]
VALUES = volume_values((5, 20, 24))
WINDOW = (-200, 300)


@pytest.fixture(scope="module")
def model(two_class_model):
    return unimask.load(two_class_model)


def save_nifti(path, values, affine, **fields):
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def lps_affine(spacing=(0.9, 0.7, 2.5), origin=(10.0, 20.0, 30.0)):
    return np.array(
        [
            [-spacing[0], 0, 0, origin[0]],
            [0, -spacing[1], 0, origin[1]],
            [0, 0, spacing[2], origin[2]],
            [0, 0, 0, 1],
        ]
    )


def test_dicom_and_nifti_of_one_ct_get_the_same_labels(model, tmp_path):
    write_series(tmp_path / "ct", VALUES)
    reversed_rows = np.diag((1.0, -1, 1, 1))
    reversed_rows[1, 3] = VALUES.shape[1] - 1
    files = {
        "same.nii.gz": (VALUES.T, lps_affine()),
        "float.nii": (VALUES.T.astype(np.float32), lps_affine()),
        "flipped.nii": (VALUES.T[:, ::-1], lps_affine() @ reversed_rows),
        "swapped.nii": (VALUES, lps_affine()[:, [2, 1, 0, 3]]),
    }
    for task in model.tasks:
        dicom = model.predict_volume(tmp_path / "ct", task, window=WINDOW, threshold=0)
        assert len(np.unique(dicom.classes)) > 1
        for name, (values, affine) in files.items():
            path = save_nifti(tmp_path / name, values, affine)
            result = model.predict_volume(path, task, window=WINDOW, threshold=0)
            for ours, theirs in [(result.classes, dicom.classes), (result.objects, dicom.objects)]:
                if ours is not None:
                    ours = ours[:, ::-1] if name == "flipped.nii" else ours
                    assert ((ours.T if name == "swapped.nii" else ours) == theirs).all()
            assert [each.ml for each in result.structures] == pytest.approx(
                [each.ml for each in dicom.structures]
            )


@pytest.mark.parametrize("batch_size", [1, 4])
def test_labels_of_a_slice_equal_predict_on_that_slice(model, tmp_path, batch_size):
    paths = write_series(tmp_path, VALUES)
    result = model.predict_volume(tmp_path, "semantic", window=WINDOW, batch_size=batch_size)
    for index, path in enumerate(paths):
        alone = model.predict(path, "semantic", window=WINDOW)
        assert (alone.segmentation + 1 == result.classes[:, :, index].T).all()
    panoptic = model.predict_volume(tmp_path, "panoptic", window=WINDOW, threshold=0)
    for index, path in enumerate(paths):
        alone = model.predict(path, "panoptic", window=WINDOW, threshold=0)
        expected = np.zeros(alone.size, int)
        for segment in alone.segments:
            expected[segment.mask] = segment.label_id + 1
        assert (expected == panoptic.classes[:, :, index].T).all()


@pytest.mark.slow
def test_the_bundled_model_gets_the_same_labels_from_real_files(tmp_path, real_data):
    """A CT of 3 slices as DICOM, as NIfTI in the usual orientation, and slice by slice."""
    import nibabel

    folder = real_data / "medical/dicom_seg/data/segmentations/ct-3slice"
    model = unimask.load("nuclei")
    options = {"window": "soft-tissue", "threshold": 0.3}
    dicom = model.predict_volume(folder, "panoptic", **options)
    assert 0 < dicom.objects.max() == len(dicom.structures) - 1
    image = nibabel.Nifti1Image(dicom.volume.values, dicom.volume.affine)
    nibabel.save(nibabel.as_closest_canonical(image), tmp_path / "ct.nii.gz")
    nifti = model.predict_volume(tmp_path / "ct.nii.gz", "panoptic", **options)
    for ours, theirs in [(nifti.classes, dicom.classes), (nifti.objects, dicom.objects)]:
        assert (ours[::-1, ::-1] == theirs).all()
    for index, path in enumerate(dicom.volume.files):
        alone = model.predict(path, "panoptic", window=(-150, 249), threshold=0.3)
        expected = np.zeros(alone.size, int)
        for segment in alone.segments:
            expected[segment.mask] = class_values(model.description.labels)[segment.label_id]
        assert (expected == dicom.classes[:, :, index].T).all()


ORIENTATIONS = ["RAS", "LPS", "PSR", "AIL", "SRA", "ILP"]


@pytest.mark.parametrize("codes", ORIENTATIONS)
@pytest.mark.parametrize("angles", [(0, 0, 0), (0.2, -0.3, 0.25)])
def test_outputs_open_in_nibabel_on_the_identical_grid(model, tmp_path, codes, angles):
    import nibabel
    from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) * (0.7, 0.9, 2.5)
    affine[:3, 3] = 5, -7, 11
    ornt = axcodes2ornt(tuple(codes))
    change = ornt_transform(axcodes2ornt(tuple("RAS")), ornt)
    values = nibabel.apply_orientation(VALUES.T, change)
    affine = affine @ inv_ornt_aff(change, VALUES.T.shape)
    image = nibabel.Nifti1Image(values, affine)
    image.set_qform(affine, code=2)
    image.header["descrip"] = b"Doe^Jane"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    nibabel.save(image, tmp_path / "scan.nii.gz")
    source = nibabel.load(tmp_path / "scan.nii.gz")
    result = model.predict_volume(tmp_path / "scan.nii.gz", "panoptic", window=WINDOW, threshold=0)
    paths = result.save(tmp_path / "out")
    for kind in ("classes", "objects"):
        written = nibabel.load(paths[kind])
        assert written.shape == source.shape
        assert (written.affine == source.affine).all()
        assert (np.asarray(written.dataobj) == getattr(result, kind)).all()
        for name in ("dim", "pixdim", "qform_code", "sform_code", "quatern_b", "srow_x", "srow_z"):
            assert (written.header[name] == source.header[name]).all(), name
        assert written.header.get_xyzt_units() == source.header.get_xyzt_units()
        assert b"Doe" not in gzip.decompress(paths[kind].read_bytes())
    reference = model.predict_volume(
        Volume("a", "nifti", VALUES.T, np.diag((0.7, 0.9, 2.5, 1))),
        "panoptic",
        window=WINDOW,
        threshold=0,
    )
    assert (nibabel.apply_orientation(result.classes, ornt) == reference.classes).all()


def test_every_kind_of_nifti_keeps_its_geometry(model, tmp_path):
    import nibabel

    for kind, suffix in [
        (nibabel.Nifti2Image, ".nii"),
        (nibabel.Nifti1Pair, ".hdr"),
        (nibabel.Nifti1Image, ".nii"),
    ]:
        image = kind(VALUES.T[..., None], lps_affine())
        image.header.set_xyzt_units("micron")
        image.header.set_slope_inter(2, -5)
        path = tmp_path / f"{kind.__name__}{suffix}"
        nibabel.save(image, path)
        result = model.predict_volume(path, "semantic", window="auto")
        written = nibabel.load(result.save(tmp_path / "out")["classes"])
        assert written.shape == VALUES.T.shape
        assert (written.affine == nibabel.load(path).affine).all()
        assert (np.asarray(written.dataobj) == result.classes).all()
        assert written.header.get_xyzt_units()[0] == "micron"
        assert result.structures[0].ml < 1e-6


def test_nothing_about_the_patient_reaches_the_outputs(model, tmp_path):
    import pydicom

    folder = tmp_path / "ct"
    for path in write_series(folder, VALUES, PatientAge="044Y", InstitutionName="St Secret"):
        data = pydicom.dcmread(path)
        block = data.private_block(0x0029, "SECRET CREATOR", create=True)
        block.add_new(1, "LO", "secret value")
        data.PatientComments = "secret comment"
        data.StudyDescription = "secret study"
        data.save_as(path)
    result = model.predict_volume(folder, "semantic", window=WINDOW)
    paths = result.save(tmp_path / "out", seg=True)
    for path in paths.values():
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        for word in (b"doe", b"4711", b"044y", b"secret"):
            assert word not in content.lower(), (path, word)
    seg = pydicom.dcmread(paths["seg"])
    assert not [element for element in seg.iterall() if element.tag.is_private]
    assert seg.StudyInstanceUID == "1.2.3" and seg.FrameOfReferenceUID == "1.2.9"

    labels = read_dicom_seg(paths["seg"])
    names = {name: number for number, name in labels.names.items()}
    assert set(names) == {each.label for each in result.structures}
    for name, value in result.values.items():
        if name in names:
            # Slices without labels are left out at both ends.
            assert (labels.values == names[name]).sum() == (result.classes == value).sum()


@pytest.mark.filterwarnings("ignore::unimask.processing.images.ImageWarning")
def test_dicom_seg_of_a_multi_frame_file(model, tmp_path, real_data):
    source = real_data / "medical/dicom_seg/data/segmentations/24x38x3/multiframe/mf.dcm"
    result = model.predict_volume(source, "semantic")
    labels = read_dicom_seg(result.save(tmp_path / "out", seg=True)["seg"])
    present = sorted(set(np.unique(result.classes)) - {0})
    assert labels.values.shape == result.classes.shape
    assert np.allclose(labels.affine, result.volume.affine, atol=1e-4)
    for number, value in enumerate(present, start=1):
        assert ((labels.values == number) == (result.classes == value)).all()


def test_seg_needs_dicom_and_labels(model, tmp_path):
    path = save_nifti(tmp_path / "a.nii", VALUES.T, lps_affine())
    result = model.predict_volume(path, "semantic", window=WINDOW)
    with pytest.raises(SettingsError, match="is no DICOM"):
        result.save(tmp_path / "out", seg=True)
    write_series(tmp_path / "ct", VALUES)
    empty = model.predict_volume(tmp_path / "ct", "instance", window=WINDOW, threshold=1)
    assert not empty.structures and not empty.classes.any()
    with pytest.raises(SettingsError, match="nothing was found"):
        empty.save(tmp_path / "out", seg=True)
    names = {"ct_classes.nii.gz", "ct_objects.nii.gz", "ct_volumes.csv", "ct.json", "unimask.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert set(empty.save(tmp_path / "out")) == {"classes", "objects", "table", "json"}


def test_seg_needs_uids_of_the_images(model, tmp_path):
    for path in write_series(tmp_path / "ct", VALUES):
        change(path, SOPClassUID="", SOPInstanceUID="")  # which the header of the file states
    result = model.predict_volume(tmp_path / "ct", "semantic", window=WINDOW)
    labels = read_dicom_seg(result.save(tmp_path / "out", seg=True)["seg"])
    assert (labels.values > 0).sum() == (result.classes > 0).sum()
    for path in (tmp_path / "ct").iterdir():
        change(path, FrameOfReferenceUID="")
    with pytest.raises(OutputError, match=r"IM\d+.dcm has no FrameOfReferenceUID"):
        result.save(tmp_path / "out", seg=True)


def blobs():
    """Return a volume of balls in (slices, rows, columns) and their numbers."""
    grid = np.stack(np.meshgrid(np.arange(24), np.arange(40), np.arange(48), indexing="ij"), -1)
    numbers = np.zeros((24, 40, 48), int)
    centres = [(6, 10, 10), (12, 28, 12), (11, 12, 36), (17, 30, 34)]
    for number, centre in enumerate(centres, start=1):
        numbers[((grid - centre) ** 2).sum(-1) <= 25 + 4 * number] = number
    return numbers


def threshold_slices(model, monkeypatch):
    """Let a model find the parts of each slice that are not black."""
    labels = LabelSet(("background", "ball"), (False, True))

    def segment_slices(slices, task, threshold, batch_size):
        for image in slices:
            parts = measure.label(image[..., 0] > 0)
            segments = [
                Segment.from_rle(labels, 1, RunLength.from_mask(parts == n), id=n, score=0.25)
                for n in range(1, parts.max() + 1)
            ]
            yield Result("instance", parts.shape, labels, tuple(segments), speed={"network": 1.0})

    monkeypatch.setattr(model, "segment_slices", segment_slices)
    model.description = replace(model.description, labels=labels)


def test_objects_are_linked_through_slices(two_class_model, tmp_path, monkeypatch):
    model = unimask.load(two_class_model)
    numbers = blobs()
    threshold_slices(model, monkeypatch)
    affine = lps_affine((0.5, 0.5, 2.0))
    volume = Volume("a", "nifti", (numbers > 0).astype(np.uint8).T * 200, affine)
    result = model.predict_volume(volume, "instance", axis="axial")
    assert result.values == {"ball": 1}
    assert (result.classes == (numbers > 0).T).all()
    pairs = set(zip(result.objects.ravel().tolist(), numbers.T.ravel().tolist(), strict=True))
    assert len(pairs) == 5  # one number for each ball
    whole, *balls = result.structures
    assert (whole.id, whole.label, whole.components) == (None, "ball", 4)
    assert [ball.id for ball in balls] == [1, 2, 3, 4]
    for ball in balls:
        mask = result.objects == ball.id
        (region,) = measure.regionprops(mask.astype(int))
        assert ball.voxels == region.num_pixels and ball.components == 1
        assert ball.ml == pytest.approx(region.num_pixels * 0.5 * 0.5 * 2.0 / 1000)
        assert ball.slices == (region.bbox[2], region.bbox[5] - 1)
        assert ball.score == 0.25
    text = result.save(tmp_path / "out")["table"].read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["kind"] for row in rows] == ["class"] + ["object"] * 4
    assert float(rows[0]["volume_ml"]) == pytest.approx(whole.ml, rel=1e-5)
    content = json.loads((tmp_path / "out/a.json").read_text())
    assert content["plane"] == "axial" and len(content["structures"]) == 5


def test_values_of_classes():
    assert class_values(LabelSet(("liver", "spleen"), (True, True))) == [1, 2]
    assert class_values(LabelSet(("background", "liver"), (False, True))) == [0, 1]
    assert class_values(LabelSet(("nucleus", "background"), (True, False))) == [1, 0]


def test_windows(tmp_path):
    write_series(tmp_path, VALUES)
    volume = open_volume(tmp_path)
    center, width = PRESETS["lung"]
    assert choose_window(volume, WindowOptions("lung"), None) == (-1350, 149)
    by_numbers = WindowOptions(center=center, width=width)
    assert choose_window(volume, by_numbers, None) == (-1350, 149)
    assert choose_window(volume, WindowOptions((1, 2)), None) == (1, 2)
    assert choose_window(volume, WindowOptions(), (5, 6)) == (5, 6)
    auto = choose_window(volume, WindowOptions(), None)
    assert auto == pytest.approx(tuple(np.percentile(VALUES, (0.1, 99.9))))
    undefined = VALUES.T.astype(np.float32).copy()
    undefined[0, 0, 0] = np.nan
    floats = Volume("a", "nifti", undefined, lps_affine())
    assert choose_window(floats, WindowOptions("auto"), None) == pytest.approx(auto, abs=1)
    mr = Volume("a", "dicom", VALUES.T, lps_affine(), modality="MR")
    with pytest.raises(SettingsError, match="Hounsfield units of CT, but a is MR"):
        choose_window(mr, WindowOptions("lung"), None)
    bytes_volume = Volume("a", "nifti", VALUES.T.astype(np.uint8), lps_affine())
    assert choose_window(bytes_volume, WindowOptions(), None) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"window": "lungs"},
            "'lungs' is unknown: pass two values, auto, z-score, or one of abdomen",
        ),
        ({"window": (5, 5)}, "LOW below HIGH"),
        ({"window": (1, 2, 3)}, "LOW,HIGH"),
        ({"window_center": 40}, "belong together"),
        ({"window_center": 40, "window_width": 1}, "must be greater than 1"),
        ({"window": "lung", "window_center": 40, "window_width": 80}, "not both"),
        ({"axis": "z"}, "pass auto, axial"),
        ({"threshold": 2}, "threshold"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_options_get_one_line(model, options, message):
    volume = Volume("a", "nifti", VALUES.T, lps_affine())
    with pytest.raises(SettingsError, match=message):
        model.predict_volume(volume, **options)


def test_undefined_voxels_become_black_with_a_warning(model, tmp_path):
    values = VALUES.T.astype(np.float32).copy()
    values[:3] = np.nan
    path = save_nifti(tmp_path / "a.nii", values, lps_affine())
    with pytest.warns(ImageWarning, match="300 voxels are not finite and become black"):
        result = model.predict_volume(path, "semantic", window=WINDOW)
    values[:3] = WINDOW[0]
    filled = Volume("a", "nifti", values, lps_affine())
    expected = model.predict_volume(filled, "semantic", window=WINDOW)
    assert (result.classes == expected.classes).all()


def test_monochrome1_is_inverted(model, tmp_path):
    write_series(tmp_path / "a", VALUES)
    write_series(tmp_path / "b", 100 - VALUES, PhotometricInterpretation="MONOCHROME1")
    plain = model.predict_volume(tmp_path / "a", "semantic", window=(-200, 300))
    inverted = model.predict_volume(tmp_path / "b", "semantic", window=(-200, 300))
    assert (plain.classes == inverted.classes).all()


def test_unknown_tasks_and_foreign_files(model, tmp_path):
    volume = Volume(str(tmp_path / "scan.nii.gz"), "nifti", VALUES.T, lps_affine())
    with pytest.raises(TaskError, match="task"):
        model.predict_volume(volume, "detection")
    result = model.predict_volume(volume, "semantic", window=WINDOW)
    assert result.stem == "scan"
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="did not write"):
        result.save(tmp_path / "out")
