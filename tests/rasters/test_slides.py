"""Slides, OME-TIFF and OME-Zarr: levels, channels, tissue, and damaged files."""

import importlib.util
import json

import numpy as np
import pytest

import unimask
from unimask.errors import ImageError
from unimask.rasters.levels import Level, choose_level
from unimask.rasters.tissue import detect_tissue
from unimask.tiling.windows import TileWindow

HAS_SLIDE = all(
    importlib.util.find_spec(name) is not None
    for name in ("openslide", "tifffile", "imagecodecs", "zarr", "rasterio")
)
slide = [
    pytest.mark.extra,
    pytest.mark.skipif(not HAS_SLIDE, reason="needs openslide, tifffile, imagecodecs, zarr"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
LEVELS = [Level((4000, 6000), 0.25), Level((2000, 3000), 0.5), Level((500, 750), 2.0)]


@pytest.mark.parametrize(
    ("mpp", "level", "expected"),
    [
        (None, None, (0, 1.0)),
        (None, 2, (2, 1.0)),
        (0.5, None, (1, 1.0)),
        (0.501, None, (1, 1.0)),  # nearly equal levels are not resampled
        (1.0, None, (1, 0.5)),
        (4.0, None, (2, 0.5)),
        (0.125, None, (0, 2.0)),
        (1.0, 0, (0, 0.25)),
    ],
)
def test_the_coarsest_level_that_is_fine_enough_is_chosen(mpp, level, expected):
    assert choose_level(LEVELS, mpp=mpp, level=level, name="a.svs") == expected


def test_missing_levels_and_resolutions_get_one_line():
    with pytest.raises(ImageError, match=r"a.svs has no level 3: choose .*0: 6000x4000, 1: 3000"):
        choose_level(LEVELS, mpp=None, level=3, name="a.svs")
    unknown = [Level((10, 10), None)]
    assert choose_level(unknown, mpp=None, level=None, name="a") == (0, 1.0)
    with pytest.raises(ImageError, match="does not state its micrometres per pixel: omit mpp"):
        choose_level(unknown, mpp=0.5, level=None, name="a")


def test_glass_is_no_tissue():
    image = np.full((60, 80, 3), 240, np.uint8)
    image[20:40, 30:60] = 200, 130, 180
    image[5, 5] = 0  # dust
    image[50:, :] = 235, 238, 231
    tissue = detect_tissue(image)
    assert tissue[20:40, 30:60].all()
    assert not tissue[:15].any() and not tissue[:, :20].any() and not tissue[45:].any()


def draw_tissue(size=(300, 420)):
    """Pink tissue with dark nuclei at the right, glass at the left."""
    rng = np.random.default_rng(0)
    image = np.full((*size, 3), 243, np.uint8)
    image[:, 160:] = np.array((225, 150, 200)) + rng.integers(-9, 9, (size[0], size[1] - 160, 3))
    for _ in range(30):
        y, x = rng.integers(10, size[0] - 10), rng.integers(175, size[1] - 15)
        image[y - 6 : y + 6, x - 6 : x + 6] = 80, 40, 120
    return image


def write_ome_tiff(path, image, *, axes="YXS", mpp: float | None = 0.25, names=None):
    """Write an OME-TIFF with two levels."""
    import tifffile

    half = image[:, ::2, ::2] if axes == "CYX" else image[::2, ::2]
    metadata = {"axes": axes}
    if mpp is not None:
        metadata |= {"PhysicalSizeX": mpp, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": mpp}
    if names is not None:
        metadata["Channel"] = {"Name": names}
    kind = "rgb" if axes == "YXS" else "minisblack"
    options = {"tile": (64, 64), "photometric": kind, "compression": "lzw"}
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(image, subifds=1, metadata=metadata, **options)
        file.write(half, subfiletype=1, **options)


@pytest.fixture
def tissue_tiff(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_ome_tiff(path, draw_tissue())
    return path


class TestFiles:
    pytestmark = slide

    def test_ome_tiff_levels(self, tissue_tiff):
        from unimask.rasters.ome_files import open_slide

        image = draw_tissue()
        for options, size, step, scale in (
            ({}, (300, 420), 1, 1.0),
            ({"mpp": 0.5}, (150, 210), 2, 1.0),
            ({"mpp": 1.0}, (150, 210), 2, 0.5),
            ({"level": 1}, (150, 210), 2, 1.0),
        ):
            with open_slide(tissue_tiff, **options) as opened:
                assert opened.size == size and opened.scale == pytest.approx(scale)
                assert opened.mpp == pytest.approx(0.25 * step)
                if step == 1:  # else rasterio warns about the identity
                    assert opened.georeference is None
                else:
                    assert opened.georeference.transform[0] == pytest.approx(step)
                pixels = opened.read(TileWindow(20, 100, 40, 50), (2, 0))
                expected = image[::step, ::step][20:60, 100:150][..., [2, 0]]
                np.testing.assert_array_equal(pixels, expected)

    def test_ome_tiff_tissue(self, tissue_tiff):
        from unimask.rasters.ome_files import open_slide

        with open_slide(tissue_tiff) as opened:
            assert not opened.read_valid(TileWindow(0, 0, 300, 150)).any()
            assert opened.read_valid(TileWindow(50, 200, 100, 100)) is None
        with open_slide(tissue_tiff, tissue=False) as opened:
            assert opened.read_valid(TileWindow(0, 0, 300, 150)) is None

    def test_ome_tiff_channels(self, tmp_path):
        from unimask.rasters.ome_files import band_numbers, open_slide

        values = np.random.default_rng(1).integers(0, 4000, (4, 90, 120)).astype(np.uint16)
        names = ["DAPI", "CD3", "CD8", "Ki67"]
        write_ome_tiff(tmp_path / "b.ome.tif", values, axes="CYX", mpp=None, names=names)
        with open_slide(tmp_path / "b.ome.tif") as opened:
            assert opened.num_bands == 4 and opened.mpp is None
            with pytest.raises(ImageError, match=r"4 bands, .* they are 1 DAPI, 2 CD3, 3 CD8"):
                opened.choose_bands(3)
            assert band_numbers(opened, ["Ki67", 1]) == [4, 1]
            with pytest.raises(ImageError, match="no channel 'CD4': it has DAPI, CD3"):
                band_numbers(opened, ["CD4"])
            pixels = opened.read(TileWindow(10, 20, 30, 40), (3, 0, 3))
            np.testing.assert_array_equal(
                pixels, np.moveaxis(values[[3, 0, 3], 10:40, 20:60], 0, 2)
            )
        with pytest.raises(ImageError, match="does not state its micrometres"):
            open_slide(tmp_path / "b.ome.tif", mpp=1.0)

    def test_ome_zarr(self, tmp_path):
        import zarr

        from unimask.rasters.ome_files import open_slide

        values = np.random.default_rng(1).integers(0, 4000, (2, 1, 60, 80)).astype(np.uint16)
        folder = tmp_path / "c.zarr"
        group = zarr.open_group(folder, mode="w", zarr_format=2)
        group.create_array("0", shape=values.shape, chunks=(1, 1, 32, 32), dtype="u2")
        group.create_array("1", data=values[..., ::2, ::2], chunks=(1, 1, 32, 32))
        scales = [[1, 1, 0.5, 0.5], [1, 1, 1.0, 1.0]]
        group.attrs["multiscales"] = [
            {
                "axes": [{"name": n, "unit": "micrometer"} for n in "czyx"],
                "datasets": [
                    {
                        "path": str(n),
                        "coordinateTransformations": [{"type": "scale", "scale": scale}],
                    }
                    for n, scale in enumerate(scales)
                ],
            }
        ]
        with pytest.raises(ImageError, match=r"level 0 holds no data: choose another one \(--lev"):
            open_slide(folder)
        with open_slide(folder, mpp=2.0) as opened:
            assert (opened.level, opened.scale, opened.mpp) == (1, 0.5, 1.0)
            pixels = opened.read(TileWindow(3, 4, 20, 30), (1, 1))
            expected = values[1, 0, ::2, ::2][3:23, 4:34]
            np.testing.assert_array_equal(pixels, np.stack([expected] * 2, axis=2))
        (folder / ".zattrs").write_text("{}")
        with pytest.raises(ImageError, match="holds no OME-Zarr image"):
            open_slide(folder)

    def test_slides_of_openslide(self, tmp_path):
        import tifffile

        from unimask.rasters.ome_files import open_slide

        image = draw_tissue()
        path = tmp_path / "d.tif"
        options = {"tile": (64, 64), "photometric": "rgb", "compression": "lzw"}
        with tifffile.TiffWriter(path) as file:
            file.write(image, **options)
            file.write(image[::2, ::2], subfiletype=1, **options)
        with open_slide(path, level=1) as opened:
            assert opened.size == (150, 210) and opened.georeference.transform[0] == 2
            pixels = opened.read(TileWindow(20, 100, 40, 50), (0, 1, 2))
            np.testing.assert_array_equal(pixels, image[::2, ::2][20:60, 100:150])
            assert not opened.read_valid(TileWindow(0, 0, 150, 70)).any()
        with pytest.raises(ImageError, match="has no level 2: choose one of its levels"):
            open_slide(path, level=2)

    @pytest.mark.parametrize("name", ["a.svs", "a.ome.tif"])
    def test_damaged_files_get_one_line(self, tissue_tiff, tmp_path, name):
        from unimask.rasters.ome_files import open_slide

        whole = tissue_tiff.read_bytes()
        path = tmp_path / "damaged" / name
        path.parent.mkdir()
        path.write_bytes(b"II*\0" + b"\xff" * 40)
        with pytest.raises(ImageError, match=name) as caught:
            open_slide(path)
        assert "\n" not in str(caught.value)
        if name == "a.ome.tif":
            path.write_bytes(whole[: len(whole) // 3])
            with (
                pytest.raises(ImageError, match=r"a\.ome\.tif") as caught,
                open_slide(path) as opened,
            ):
                opened.read(TileWindow(0, 0, *opened.size), (0, 1, 2))
            assert "\n" not in str(caught.value)
        with pytest.raises(ImageError, match="does not exist"):
            open_slide(tmp_path / "none" / name)

    @pytest.mark.filterwarnings("ignore::unimask.processing.tiled.collect.TilingWarning")
    def test_results_for_qupath(self, tiny_model, tissue_tiff, tmp_path):
        model = unimask.load(tiny_model, device="cpu")
        result = model.predict_slide(
            tissue_tiff, tmp_path / "out", "instance", mpp=0.5, tile=128, threshold=0.001
        )
        content = json.loads(result.paths["geojson"].read_text())
        assert result.paths["geojson"].name == "a.geojson"
        assert result.counts and content["features"]
        points = []
        for feature in content["features"]:
            assert feature["properties"]["objectType"] == "annotation"
            assert feature["properties"]["classification"]["name"] in model.labels
            shape = feature["geometry"]
            polygons = (
                shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
            )
            points += [point for polygon in polygons for ring in polygon for point in ring]
        places = np.array(points)
        assert (places >= 0).all() and (places <= (420, 300)).all()
        assert places[:, 0].min() >= 140  # no objects on glass, in pixels of the finest level
        assert places.max() > 210  # not those of the level that was read
