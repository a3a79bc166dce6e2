"""DICOM series: order, geometry, values, and one line for each kind of unusable folder."""

import importlib.util

import numpy as np
import pytest
from medical_files import change, rotation, volume_values, write_series
from PIL import Image

from unimask.datasets import open_dataset
from unimask.errors import ImageError
from unimask.processing.images import read_image
from unimask.volumes import open_volume
from unimask.volumes.dicom_seg import read_dicom_seg

HAS_MEDICAL = all(
    importlib.util.find_spec(name) is not None for name in ("nibabel", "pydicom", "highdicom")
)
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(not HAS_MEDICAL, reason="needs nibabel, pydicom and highdicom"),
    pytest.mark.filterwarnings("ignore::UserWarning:pydicom"),
]


def highdicom_volume(folder):
    """Return values (i, j, k) and the affine in RAS of a series, read by highdicom."""
    import highdicom
    import pydicom

    datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    volume = highdicom.get_volume_from_series(datasets)
    values = np.asarray(volume.array).transpose(2, 1, 0)
    affine = np.diag((-1.0, -1.0, 1.0, 1.0)) @ volume.affine[:, [2, 1, 0, 3]]
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 3] += (values.shape[2] - 1) * affine[:3, 2]
        affine[:3, 2] *= -1
        values = values[..., ::-1]
    return values, affine


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.1, 0, 0), (1.5, 0.1, -0.2), (0.4, -0.9, 2.5)])
def test_slices_are_sorted_by_position_as_highdicom_sorts_them(tmp_path, angles):
    values = volume_values()
    rows = rotation(angles)[:, :2].T.ravel()
    write_series(tmp_path, values, rows=rows)
    volume = open_volume(tmp_path)
    expected, affine = highdicom_volume(tmp_path)
    assert (volume.values == values.transpose(2, 1, 0)).all()
    assert (volume.values == expected).all()
    assert np.allclose(volume.affine, affine, atol=1e-5)
    assert np.allclose(volume.spacing, (0.9, 0.7, 2.5), atol=1e-5)
    assert volume.modality == "CT" and volume.values.dtype == np.int16


def test_rounded_positions_are_one_spacing(tmp_path):
    values = volume_values((24, 8, 9))
    paths = write_series(tmp_path, values, spacing=(0.625, 0.7, 0.9))
    for index, path in enumerate(paths):
        change(path, ImagePositionPatient=[-10, -20, f"{30 + 0.625 * index:.1f}"])
    volume = open_volume(tmp_path)
    assert (volume.values == values.transpose(2, 1, 0)).all()
    assert volume.spacing[2] == pytest.approx(0.625, abs=0.1 / 23)
    paths[10].unlink()
    with pytest.raises(ImageError, match="1 slice is missing"):
        open_volume(tmp_path)


def test_rescaling_gives_the_values_of_pydicom(tmp_path):
    import pydicom
    from pydicom.pixels import apply_rescale

    for number, (slope, intercept) in enumerate([(1, 0), (2, -1024), (0.25, 3.5), (1.7, -3)]):
        folder = tmp_path / str(number)
        paths = write_series(folder, volume_values(), slope=slope, intercept=intercept)
        volume = open_volume(folder)
        for index, path in enumerate(paths):
            data = pydicom.dcmread(path)
            expected = apply_rescale(data.pixel_array, data)
            assert np.allclose(volume.values[:, :, index].T, expected, rtol=1e-6)
        assert (volume.values.dtype.kind == "i") == (slope == int(slope))


def test_empty_elements_count_as_missing(tmp_path):
    values = volume_values()
    for path in write_series(tmp_path, values, intercept=0.0):
        change(path, RescaleSlope="", RescaleIntercept="", WindowCenter="", SliceThickness="")
    assert (open_volume(tmp_path).values == values.transpose(2, 1, 0)).all()


def test_files_without_preamble_are_read(tmp_path):
    values = volume_values()
    for path in write_series(tmp_path, values):
        data = path.read_bytes()
        path.rename(path.with_suffix(""))
        path.with_suffix("").write_bytes(data[132:])
    (tmp_path / "notes.txt").write_text("\x08\0 no image")
    assert (open_volume(tmp_path).values == values.transpose(2, 1, 0)).all()


def test_elements_of_wrong_lengths_get_one_line(tmp_path):
    values = volume_values()
    paths = write_series(tmp_path, values, SamplesPerPixel=1)
    for path in paths:
        data = path.read_bytes()
        tag = data.index(b"\x28\0\x02\0US")  # SamplesPerPixel, of two bytes
        path.write_bytes(
            data[: tag + 6] + b"\x03\0" + data[tag + 8 : tag + 10] + b"\0" + data[tag + 10 :]
        )
    with pytest.raises(ImageError, match="is damaged") as raised:
        open_volume(tmp_path)
    assert "\n" not in str(raised.value)


def unusable(folder):
    """Yield functions that make a series unusable, with what the message says."""
    values = volume_values()

    def series(**options):
        return write_series(folder, values, **options)

    yield lambda: series()[2].unlink(), r"1 slice is missing.*IM\d+.dcm and IM\d+.dcm \(5 mm apart"
    yield lambda: change(series()[2], ImagePositionPatient=[-10, -20, 36]), "mixed spacing"
    yield (
        lambda: change(series()[2], ImagePositionPatient=[-10, -20, 30]),
        "several images at one position",
    )
    yield lambda: change(series()[2], PixelSpacing=[0.7, 0.8]), "mixed spacing: PixelSpacing"
    yield (
        lambda: change(series()[2], ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
        "different orientations",
    )
    yield lambda: change(series()[2], ImagePositionPatient=[5, -20, 35]), "shifted by up to"
    yield lambda: change(series()[2], ImagePositionPatient=None), "states no position"
    yield lambda: change(series()[2], PixelSpacing=""), "states no PixelSpacing"
    yield lambda: change(series()[2], Modality="MR"), "Modality is 'MR' in IM"
    yield lambda: change(series()[2], Rows=10), "Rows is '10' in IM"
    yield lambda: change(series()[2], PixelData=b"\0" * 10), "is damaged"
    yield lambda: [change(path, PixelData=None) for path in series()], "is damaged"
    yield (
        lambda: [
            change(path, SamplesPerPixel=3, PhotometricInterpretation="RGB") for path in series()
        ],
        "RGB voxels",
    )
    yield (
        lambda: (series(), write_series(folder / "b", values, series="1.2.5")),
        r"2 series: choose one by its number.*1: CT, 6 images; 2: CT, 6 images",
    )
    yield lambda: folder.mkdir(exist_ok=True), "holds no DICOM files"


def test_unusable_series_get_one_line(tmp_path):
    for number in range(15):
        folder = tmp_path / str(number)
        make, message = list(unusable(folder))[number]
        make()
        with pytest.raises(ImageError, match=message) as raised:
            open_volume(folder)
        assert "\n" not in str(raised.value)


def test_one_of_several_series_is_chosen(tmp_path):
    first, second = volume_values(), volume_values(seed=1)
    write_series(tmp_path / "a", first)
    write_series(tmp_path / "b", second, series="1.2.5", SeriesNumber=2)
    for choice, values in [(1, first), ("2", second), ("1.2.5", second)]:
        assert (open_volume(tmp_path, choice).values == values.transpose(2, 1, 0)).all()
    for choice in (0, 3, "1.2", "9.9"):
        with pytest.raises(ImageError, match="series fit"):
            open_volume(tmp_path, choice)


def test_single_slices_and_segmentations_are_no_volumes(tmp_path, real_data):
    path = write_series(tmp_path, volume_values())[0]
    with pytest.raises(ImageError, match="is a single slice: pass the folder"):
        open_volume(path)
    with pytest.raises(ImageError, match="is a DICOM SEG"):
        open_volume(real_data / "medical/dicom_seg/data/segmentations/liver.dcm")


def test_the_real_series_has_the_grid_of_its_published_labels(real_data):
    import nibabel

    folder = real_data / "medical/totalsegmentator"
    volume = open_volume(folder / "example_ct_dicom")
    labels = nibabel.load(folder / "example_seg_dicom.nii.gz")
    # The published labels have the rows in the opposite order: anterior first.
    flipped = nibabel.as_closest_canonical(labels)
    ours = nibabel.as_closest_canonical(nibabel.Nifti1Image(volume.values, volume.affine))
    assert ours.shape == flipped.shape
    assert np.allclose(ours.affine, flipped.affine, atol=1e-4)
    bones, air = np.asarray(flipped.dataobj) > 0, np.asarray(ours.dataobj) < -900
    assert (bones & air).sum() < 0.1 * bones.sum()


@pytest.mark.parametrize("size", ["23x38x3", "24x38x3"])
def test_multi_frame_files_equal_their_single_frames(real_data, size):
    folder = real_data / "medical/dicom_seg/data/segmentations" / size
    single, multi = open_volume(folder / "image"), open_volume(folder / "multiframe/mf.dcm")
    assert (single.values == multi.values).all()
    assert np.allclose(single.affine, multi.affine)
    assert len(set(single.files)) == 3 and len(set(multi.files)) == 1


SEGMENTATIONS = [
    ("liver.dcm", "liver_seg.nrrd", {1: "Liver"}),
    ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd", {1: "Liver"}),
    ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd", {1: "Liver"}),
    ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd", {1: "Liver"}),
]


@pytest.mark.parametrize(("seg", "nrrd", "names"), SEGMENTATIONS)
def test_dicom_seg_equals_the_nrrd_from_which_it_was_made(real_data, seg, nrrd, names):
    folder = real_data / "medical/dicom_seg/data/segmentations"
    labels, expected = read_dicom_seg(folder / seg), open_volume(folder / nrrd)
    assert labels.names == names
    ours, theirs = (world_voxels(v.values, v.affine) for v in (labels, expected))
    assert ours == theirs and ours


def world_voxels(values, affine):
    """Return the positions of labelled voxels in mm, rounded, with their labels."""
    places = np.argwhere(values > 0)
    world = np.round(places @ affine[:3, :3].T + affine[:3, 3], 2)
    found = zip(map(tuple, (world + 0.0).tolist()), values[values > 0].tolist(), strict=True)
    return set(found)


def test_overlapping_segments_get_one_line(real_data):
    path = real_data / "medical/dicom_seg/data/segmentations/partial_overlaps.dcm"
    with pytest.raises(ImageError, match="segments that overlap"):
        read_dicom_seg(path)


def test_images_are_displayed_by_their_own_window(tmp_path):
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    (path,) = write_series(tmp_path, volume_values()[2:3], WindowCenter=40, WindowWidth=400)
    image = read_image(path)
    data = pydicom.dcmread(path)
    expected = apply_voi_lut(apply_modality_lut(data.pixel_array, data), data)
    grey = (expected + 32768 + 1024) / 65535 * 255  # pydicom's range: 16 bits, rescaled
    assert (np.abs(image[..., 0] - grey) <= 0.5 + 1e-6).all()
    assert (image[..., 0] == image[..., 2]).all()

    values = data.pixel_array - 1024
    chosen = read_image(path, window=(-160, 240))
    assert (np.abs(chosen[..., 0] - np.clip((values + 160) / 400, 0, 1) * 255) <= 0.5 + 1e-6).all()
    change(path, PhotometricInterpretation="MONOCHROME1")
    assert (read_image(path, window=(-160, 240)) == 255 - chosen).all()


def test_datasets_may_hold_dicom_images(tmp_path):
    values = volume_values()
    paths = write_series(tmp_path / "images", values, WindowCenter=40, WindowWidth=400)
    (tmp_path / "masks").mkdir()
    for path, plane in zip(paths, values, strict=True):
        mask = Image.fromarray((plane > -500).astype(np.uint8))
        mask.save(tmp_path / "masks" / f"{path.stem}.png")
    dataset = open_dataset(tmp_path)
    assert len(dataset) > 2
    for index in range(len(dataset)):
        assert (dataset[index].image == read_image(dataset[index].path)).all()


BUNDLED = [
    ("JPEG2000.dcm", None),  # lossy
    ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ("MR_small_RLE.dcm", "MR_small.dcm"),
    ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ("MR_small_implicit.dcm", "MR_small.dcm"),
    ("SC_rgb_jpeg_dcmtk.dcm", None),
    ("SC_ybr_full_422_uncompressed.dcm", None),
    ("examples_palette.dcm", None),
    ("SC_rgb_rle_2frame.dcm", None),
]


@pytest.mark.filterwarnings("ignore::unimask.processing.images.ImageWarning")
@pytest.mark.parametrize(("name", "same"), BUNDLED)
def test_compressed_images_are_decoded(name, same):
    from pydicom.data import get_testdata_file

    image = read_image(get_testdata_file(name, download=False), window="auto")
    assert image.ndim == 3 and image.dtype == np.uint8 and np.ptp(image) > 20
    if same:
        assert (image == read_image(get_testdata_file(same, download=False), window="auto")).all()


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "MR_truncated.dcm"])
def test_files_without_pixels_and_truncated_ones_get_one_line(name):
    from pydicom.data import get_testdata_file

    with pytest.raises(ImageError, match=r"holds no image|is damaged") as raised:
        read_image(get_testdata_file(name, download=False))
    assert "\n" not in str(raised.value)


def test_what_is_no_dicom_gets_one_line(tmp_path):
    for number, data in enumerate([b"x", b"\0" * 128 + b"DICM", b"\x08\0" * 40, bytes(200)]):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(data)
        with pytest.raises(ImageError, match=r"no DICOM file|damaged|holds no image"):
            read_image(path)
