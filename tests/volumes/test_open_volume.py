"""NIfTI, NRRD and TIFF stacks: values and geometry, and one line for what is no volume."""

import gzip
import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from medical_files import rotation, volume_values

from unimask.errors import ImageError, SettingsError
from unimask.processing.images import read_image
from unimask.volumes import open_volume
from unimask.volumes.planes import choose_plane

HAS_MEDICAL = all(
    importlib.util.find_spec(name) is not None for name in ("nibabel", "nrrd", "tifffile")
)
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(not HAS_MEDICAL, reason="needs nibabel, pynrrd and tifffile"),
]
VALUES = volume_values((5, 6, 7))


def oblique_affine(spacing=(0.5, 0.8, 3.0), angles=(0.2, -0.3, 0.4)):
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) * spacing
    affine[:3, 3] = 3, -40, 12.5
    return affine


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".hdr"])
def test_nifti_is_read_as_nibabel_reads_it(tmp_path, dtype, suffix):
    import nibabel

    kind = nibabel.Nifti1Pair if suffix == ".hdr" else nibabel.Nifti1Image
    image = kind(VALUES.astype(dtype), oblique_affine())
    path = tmp_path / f"a{suffix}"
    nibabel.save(image, path)
    volume = open_volume(path)
    assert np.allclose(volume.values, nibabel.load(path).get_fdata(), rtol=1e-6)
    assert (volume.affine == nibabel.load(path).affine).all()
    assert np.allclose(volume.spacing, (0.5, 0.8, 3.0), atol=1e-5)
    assert np.isclose(volume.voxel_ml, 0.0012)


def test_scaled_nifti_and_other_units(tmp_path):
    import nibabel

    image = nibabel.Nifti1Image(VALUES, np.diag((-20.0, 30, 500, 1)))
    image.header.set_xyzt_units("micron")
    image.header.set_slope_inter(2.5, -7)
    path = tmp_path / "scaled.nii"
    nibabel.save(image, path)
    volume = open_volume(path)
    assert np.allclose(volume.values, nibabel.load(path).get_fdata(), atol=1e-3)
    assert np.allclose(volume.spacing, (0.02, 0.03, 0.5))


def nifti_file(path, values, **fields):
    import nibabel

    image = nibabel.Nifti1Image(values, np.diag((1.0, 1, 3, 1)))
    nibabel.save(image, path)


def test_unusable_files_get_one_line(tmp_path):
    import tifffile

    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    cases = {
        "4d.nii": (np.zeros((4, 5, 6, 20), np.int16), r"4-D \(4 x 5 x 6 x 20\).*slicer"),
        "2d.nii": (np.zeros((4, 5), np.int16), "4 x 5, no volume: use unimask predict"),
        "rgb.nii": (colours, "RGB colours in its voxels"),
        "complex.nii": (np.zeros((4, 5, 6), np.complex64), "values of type complex64"),
    }
    for name, (values, message) in cases.items():
        nifti_file(tmp_path / name, values)
        with pytest.raises(ImageError, match=message) as raised:
            open_volume(tmp_path / name)
        assert "\n" not in str(raised.value)
    nifti_file(tmp_path / "one.nii", np.zeros((4, 5, 6, 1), np.int16))
    assert open_volume(tmp_path / "one.nii").shape == (4, 5, 6)

    whole = (tmp_path / "one.nii").read_bytes()
    (tmp_path / "cut.nii").write_bytes(whole[:380])
    (tmp_path / "cut.nii.gz").write_bytes(b"\x1f\x8b\x08\0garbage")
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "text.nrrd").write_text("NRRD0004\ntype: short\n")
    (tmp_path / "text.txt").write_text("no volume")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((4, 8, 9, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "page.tif", np.zeros((8, 9), np.uint8))
    channels = np.zeros((4, 2, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "zc.tif", channels, imagej=True, metadata={"axes": "ZCYX"})
    for name, message in [
        ("cut.nii", "is damaged"),
        ("cut.nii.gz", "is damaged"),
        ("empty.nii", r"is empty \(0 bytes\)"),
        ("text.nrrd", "is damaged"),
        ("text.txt", "no volume of a known kind"),
        ("missing.nii", "does not exist"),
        ("rgb.tif", "RGB colours"),
        ("page.tif", "has one page"),
        ("zc.tif", "has the axes ZCYX"),
    ]:
        with pytest.raises(ImageError, match=message) as raised:
            open_volume(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_damaged_headers_get_one_line_or_are_read(tmp_path):
    nifti_file(tmp_path / "unit.nii", np.zeros((4, 5, 6), np.int16))
    data = bytearray((tmp_path / "unit.nii").read_bytes())
    data[123] = 7  # no unit of the standard
    (tmp_path / "unit.nii").write_bytes(data)
    assert open_volume(tmp_path / "unit.nii").spacing == (1.0, 1.0, 3.0)
    data[42:48] = np.array([30000] * 3, "<i2").tobytes()
    (tmp_path / "large.nii").write_bytes(data)
    (tmp_path / "large.nii.gz").write_bytes(gzip.compress(data))
    for name in ("large.nii", "large.nii.gz"):
        with pytest.raises(ImageError, match="too short for 30000 x 30000 x 30000 voxels"):
            open_volume(tmp_path / name)


def test_volumes_are_no_images(tmp_path):
    nifti_file(tmp_path / "a.nii.gz", np.zeros((4, 5, 6), np.int16))
    with pytest.raises(ImageError, match=r"volumes are for predict_volume \(unimask volume\)"):
        read_image(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("space", ["left-posterior-superior", "right-anterior-superior"])
def test_nrrd_has_the_affine_of_its_header(tmp_path, space):
    import nrrd

    affine = oblique_affine()
    sign = -1.0 if space.startswith("left") else 1.0
    ours = np.diag((sign, sign, 1, 1)) @ affine
    header = {"space": space, "space directions": ours[:3, :3].T, "space origin": ours[:3, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES, header)
    volume = open_volume(tmp_path / "a.nrrd")
    assert (volume.values == VALUES).all()
    assert np.allclose(volume.affine, affine)

    with_list = {**header, "space directions": np.vstack([[np.nan] * 3, ours[:3, :3].T])}
    nrrd.write(str(tmp_path / "b.nrrd"), VALUES[None], with_list)
    assert (open_volume(tmp_path / "b.nrrd").values == VALUES).all()
    nrrd.write(str(tmp_path / "c.nrrd"), np.stack([VALUES] * 3), with_list)
    with pytest.raises(ImageError, match="save one grey volume"):
        open_volume(tmp_path / "c.nrrd")


def test_nrrd_without_space(tmp_path):
    import nrrd

    nrrd.write(str(tmp_path / "a.nrrd"), VALUES, {"spacings": [0.5, 0.5, 2.0]})
    assert open_volume(tmp_path / "a.nrrd").spacing == (0.5, 0.5, 2.0)
    header = {"space": "scanner-xyz", "space directions": np.eye(3)}
    nrrd.write(str(tmp_path / "b.nrrd"), VALUES, header)
    with pytest.raises(ImageError, match="space 'scanner-xyz': save it in left-posterior"):
        open_volume(tmp_path / "b.nrrd")


@pytest.mark.parametrize("ome", [False, True])
def test_tiff_stacks_have_the_spacing_of_their_metadata(tmp_path, ome):
    import tifffile

    pages = VALUES.astype(np.uint16)
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    if ome:
        sizes = {"PhysicalSizeX": 0.2, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 1.5}
        tifffile.imwrite(path, pages, metadata={"axes": "ZYX", **sizes})
    else:
        metadata = {"spacing": 1.5, "unit": "um", "axes": "ZYX"}
        tifffile.imwrite(path, pages, imagej=True, resolution=(5, 4), metadata=metadata)
    volume = open_volume(path)
    assert (volume.values == pages.T).all()
    assert np.allclose(volume.spacing, (0.0002, 0.00025, 0.0015))
    plane = choose_plane(volume.affine, "auto")
    assert plane.name == "axial" and (plane.view(volume.values) == pages).all()


ANGLES = st.tuples(*(st.floats(-np.pi, np.pi) for _ in range(3)))


@given(ANGLES, st.permutations((0.5, 0.9, 4.0)), st.tuples(*(st.sampled_from((-1, 1)),) * 3))
def test_slices_are_displayed_as_nibabel_orients_them(angles, spacing, signs):
    import nibabel

    affine = oblique_affine(np.array(spacing) * signs, angles)
    values = VALUES[:4, :5, :6]
    plane = choose_plane(affine, "auto")
    assert np.isclose(plane.spacing[0], 4.0)
    canonical = nibabel.as_closest_canonical(nibabel.Nifti1Image(values, affine))
    array = np.asarray(canonical.dataobj)  # right, anterior, superior
    world = ("sagittal", "coronal", "axial").index(plane.name)
    columns, rows = (axis for axis in range(3) if axis != world)
    expected = array.transpose(world, rows, columns)[:, ::-1, ::-1]
    view = plane.view(values)
    assert (view == expected).all()
    for position in range(len(view)):
        index = plane.index(position, values.shape)
        assert set(view[position].flat) == set(values.take(index, plane.axis).flat)


def test_the_axis_follows_the_spacing_and_axial_wins_ties():
    assert choose_plane(np.diag((1.0, 1, 1, 1)), "auto").name == "axial"
    assert choose_plane(np.diag((3.0, 1, 1, 1)), "auto").name == "sagittal"
    assert choose_plane(np.diag((3.0, 3, 1, 1)), "auto").name == "coronal"
    assert choose_plane(np.diag((0.8, 0.8, 0.8000011, 1)), "auto").name == "axial"
    swapped = np.array([[0, 0, 2.0, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    assert choose_plane(swapped, "auto") == choose_plane(swapped, 2)
    assert choose_plane(swapped, "axial").axis == 1
    assert choose_plane(swapped, "sagittal").axis == 2
    for axis in ("z", 3, -1, True):
        with pytest.raises(SettingsError, match="pass auto, axial, coronal, sagittal"):
            choose_plane(swapped, axis)


def test_written_slices_end_up_in_the_grid():
    affine = oblique_affine((4, 0.5, -0.9))
    plane, labels = choose_plane(affine, "auto"), np.zeros(VALUES.shape, np.int16)
    for target, source in zip(plane.view(labels), plane.view(VALUES), strict=True):
        target[:] = source
    assert (labels == VALUES).all()
