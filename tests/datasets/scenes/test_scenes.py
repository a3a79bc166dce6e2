"""Scenes with polygons on the ground: the pixels of GDAL, whole scenes held out, clear errors."""

import importlib.util
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from raster_files import ROTATED, UTM, write_raster

from unimask.datasets import describe, open_dataset, open_train_and_val
from unimask.datasets.interface import label_digest
from unimask.errors import DataError, ImageError, SettingsError
from unimask.rasters.gdal_image import GdalImage
from unimask.rasters.scaled_image import ScaledImage
from unimask.tiling.windows import TileWindow

NAMES = ("rasterio", "shapely", "pyproj", "pyogrio")
pytestmark = [
    pytest.mark.extra,
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, NAMES)), reason=f"needs {', '.join(NAMES)}"
    ),
    # rasterio multiplies transforms in a way that the package affine will deprecate.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

SIZE = (150, 200)
EPSG = 32633


def star(random, centre, radius):
    """Return the ring of a star-shaped polygon in pixels, closed."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = radius * random.uniform(0.5, 1, 12)
    ring = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], 1)
    return np.concatenate([ring, ring[:1]])


def random_geometries(seed, size=SIZE, count=12):
    """Return polygons in pixels: with holes, of several parts, and beyond the edges."""
    random = np.random.default_rng(seed)
    shapes = []
    for number in range(count):
        centre = random.uniform((-5, -5), (size[1] + 5, size[0] + 5))
        outer, hole = star(random, centre, random.uniform(8, 40)), star(random, centre, 4)
        if number % 3 == 0:
            shapes.append(("Polygon", [outer, hole]))
        elif number % 3 == 1:
            shapes.append(("Polygon", [outer]))
        else:
            shapes.append(("MultiPolygon", [[outer, hole], [star(random, centre + 50, 9)]]))
    return shapes


def map_rings(coordinates, function):
    if isinstance(coordinates, np.ndarray):
        return function(coordinates).tolist()
    return [map_rings(part, function) for part in coordinates]


def place(shape, transform):
    """Return a geometry of GeoJSON on the ground."""
    a, b, c, d, e, f = transform
    matrix = np.array([[a, d], [b, e]])
    return {
        "type": shape[0],
        "coordinates": map_rings(shape[1], lambda ring: ring @ matrix + (c, f)),
    }


def write_labels(path, geometries, properties, epsg=EPSG):
    """Write GeoJSON; without `epsg`, in WGS 84 as RFC 7946 requires."""
    from rasterio.warp import transform_geom

    content = {"type": "FeatureCollection"}
    if epsg is None:
        geometries = [transform_geom(f"EPSG:{EPSG}", "EPSG:4326", each) for each in geometries]
    else:
        name = f"urn:ogc:def:crs:EPSG::{epsg}"
        content["crs"] = {"type": "name", "properties": {"name": name}}
    pairs = zip(geometries, properties, strict=True)
    content["features"] = [
        {"type": "Feature", "properties": values, "geometry": geometry}
        for geometry, values in pairs
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def noise(seed=0, size=SIZE, dtype=np.uint8):
    high = 255 if dtype == np.uint8 else 4000
    return np.random.default_rng(seed).integers(1, high, (*size, 3)).astype(dtype)


def write_scene(folder, name="town", transform=UTM, seed=0, epsg=EPSG, classes=("car", "house")):
    """Write a scene of random polygons, and return these on the ground."""
    folder.mkdir(parents=True, exist_ok=True)
    write_raster(folder / f"{name}.tif", noise(seed), transform)
    geometries = [place(shape, transform) for shape in random_geometries(seed)]
    values = [{"class": classes[i % len(classes)]} for i in range(len(geometries))]
    write_labels(folder / f"{name}.geojson", geometries, values, epsg)
    return geometries


def assemble(dataset, size):
    """Return the class of the front object at each pixel, from chips that do not overlap."""
    whole = np.full(size, -1)
    for sample, (_, window) in zip(
        map(dataset.__getitem__, range(len(dataset))), dataset.chips, strict=True
    ):
        table = np.concatenate([[-1], sample.label_ids])
        rows, columns = size[0] - window.row, size[1] - window.column
        part = table[sample.front][:rows, :columns]
        whole[window.row : window.bottom, window.column : window.right] = part
        assert sample.ignored is None or not sample.ignored[:rows, :columns].any()
        beyond = np.ones(sample.size, bool)
        beyond[:rows, :columns] = False
        assert not (sample.front[beyond] > 0).any()
        assert not beyond.any() or sample.ignored[beyond].all()
    return whole


@pytest.mark.parametrize("epsg", [EPSG, None])
@pytest.mark.parametrize("transform", [UTM, ROTATED])
def test_objects_have_the_pixels_that_gdal_rasterises(tmp_path, transform, epsg):
    import rasterio
    import shapely
    from rasterio.features import rasterize

    geometries = write_scene(tmp_path / "data", "town", transform, epsg=epsg)
    dataset = open_dataset(tmp_path / "data", chip=64)
    assert dataset.labels.names == ("car", "house", "background")
    affine = rasterio.Affine(*transform)
    masks = [rasterize([each], SIZE, transform=affine).astype(bool) for each in geometries]
    areas = shapely.area([shapely.geometry.shape(each) for each in geometries])
    expected = np.full(SIZE, 2)
    for index in np.argsort(-areas):
        expected[masks[index]] = index % 2
    np.testing.assert_array_equal(assemble(dataset, SIZE), expected)
    for index, (_, window) in enumerate(dataset.chips):  # overlapping objects are complete
        sample = dataset[index]
        objects = [
            (int(label), int(sample.mask(number).sum()))
            for number, label in enumerate(sample.label_ids, 1)
            if label != 2
        ]
        inside = [mask[window.row : window.bottom, window.column : window.right] for mask in masks]
        counts = [(number % 2, int(part.sum())) for number, part in enumerate(inside)]
        assert sorted(objects) == sorted(each for each in counts if each[1])
        assert dataset.count_things()[index] >= len(objects)


def test_pixels_and_values_are_those_of_predictions(tmp_path):
    image = noise(3, dtype=np.uint16)
    image[20:70, 30:90] = 0
    write_raster(tmp_path / "a.tif", image, nodata=0)
    ring = np.array([[10, 10], [80, 10], [80, 60], [10, 60], [10, 10]])
    write_labels(tmp_path / "a.geojson", [place(("Polygon", [ring]), UTM)], [{}])
    sample = open_dataset(tmp_path, bands=(3, 2, 1), chip=256, names=("field",))[0]
    with GdalImage(tmp_path / "a.tif") as raster:
        scaled = ScaledImage.choose(raster, 3, bands=(3, 2, 1))
        expected = scaled.read(TileWindow(0, 0, *SIZE))
    np.testing.assert_array_equal(sample.image[: SIZE[0], : SIZE[1]], expected)
    known = np.zeros((256, 256), bool)
    known[: SIZE[0], : SIZE[1]] = (image > 0).any(axis=2)
    np.testing.assert_array_equal(sample.ignored, ~known)
    inside = np.zeros((256, 256), bool)
    inside[10:60, 10:80] = True
    np.testing.assert_array_equal(sample.mask(1), inside & known)
    np.testing.assert_array_equal(sample.mask(2), ~inside & known)


def test_real_scenes_of_spacenet(tmp_path, geo_data):
    import rasterio
    from rasterio.features import rasterize

    for image, labels in (
        ("sample_geotiff", "geotiff_labels"),
        ("sample_geotiff_custom_proj", "geotiff_custom_proj_labels"),
    ):
        folder = tmp_path / image
        folder.mkdir()
        shutil.copy(geo_data / f"spacenet/{image}.tif", folder)
        shutil.copy(geo_data / f"spacenet/{labels}.geojson", folder)
        dataset = open_dataset(folder, names=("place",), chip=300)
        with rasterio.open(folder / f"{image}.tif") as file:
            features = json.loads((folder / f"{labels}.geojson").read_text())["features"]
            shapes = [feature["geometry"] for feature in features]
            expected = rasterize(shapes, file.shape, transform=file.transform) == 0
            whole = np.full(file.shape, -1)
            for index, (_, window) in enumerate(dataset.chips):
                sample = dataset[index]
                part = np.concatenate([[-1], sample.label_ids])[sample.front]
                place = whole[window.row : window.bottom, window.column : window.right]
                place[:] = part[: place.shape[0], : place.shape[1]]
            valid = file.dataset_mask() > 0
        np.testing.assert_array_equal(whole[valid], expected[valid])
        assert (whole[~valid] == -1).all() and 0 < (whole == 0).mean() < 0.5


def test_one_file_labels_all_scenes_by_their_places(tmp_path):
    first = [place(shape, UTM) for shape in random_geometries(1)]
    moved = (*UTM[:2], UTM[2] + 500, *UTM[3:])
    second = [place(shape, moved) for shape in random_geometries(2)]
    values = [{"label": "tree"}] * (len(first) + len(second))
    write_labels(tmp_path / "all.geojson", [*first, *second], values, None)
    other = (*UTM[:2], UTM[2] + 5000, *UTM[3:])
    for number, transform in enumerate((UTM, moved, other)):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        write_raster(folder / f"scene{number}.tif", noise(number), transform)
    dataset = open_dataset(tmp_path, chip=256)
    assert [path.name[:6] for path in dataset.paths] == ["scene0", "scene1"]
    assert "scenes without a polygon are left out: 1, scene2.tif" in describe(dataset)
    # The same polygons for each scene alone give the same objects.
    for index, geometries in enumerate((first, second)):
        folder = tmp_path / f"alone{index}"
        folder.mkdir()
        shutil.copy(tmp_path / f"images/scene{index}.tif", folder)
        write_labels(folder / "x.geojson", geometries, values[: len(geometries)])
        alone = open_dataset(folder, chip=256)[0]
        np.testing.assert_array_equal(alone.id_maps > 0, dataset[index].id_maps > 0)
        np.testing.assert_array_equal(alone.label_ids, dataset[index].label_ids)


def test_files_belong_to_scenes_of_their_names_even_at_one_place(tmp_path):
    for number in (1, 2):  # two dates of one place, named as SpaceNet names them
        folder, labels = tmp_path / "PS-RGB", tmp_path / "geojson_buildings"
        folder.mkdir(exist_ok=True)
        write_raster(folder / f"SN2_AOI_2_PS-RGB_img{number}.tif", noise(number))
        geometries = [place(shape, UTM) for shape in random_geometries(number, count=3 * number)]
        path = labels / f"SN2_AOI_2_geojson_buildings_img{number}.geojson"
        write_labels(path, geometries, [{}] * len(geometries))
    write_raster(tmp_path / "PS-RGB" / "SN2_AOI_2_PS-RGB_img3.tif", noise(3))
    dataset = open_dataset(tmp_path, chip=512)
    assert dataset.count_things().tolist() == [3, 6]
    assert "scenes without a file of labels are left out: 1" in describe(dataset)


def test_splits_of_images_alone_do_not_mix_dates_of_one_place(tmp_path):
    for split, number in (("train", 1), ("train", 2), ("val", 3)):
        folder = tmp_path / "images" / split
        folder.mkdir(parents=True, exist_ok=True)
        write_raster(folder / f"date{number}.tif", noise(number))
        geometries = [place(shape, UTM) for shape in random_geometries(number, count=3 * number)]
        write_labels(tmp_path / f"labels/date{number}.geojson", geometries, [{}] * len(geometries))
    train, val = open_train_and_val(tmp_path, chip=512)
    assert train.count_things().tolist() == [3, 6] and val.count_things().tolist() == [9]


def test_geopackage_and_void_classes(tmp_path):
    import pyogrio
    import shapely

    write_raster(tmp_path / "a.tif", noise())
    boxes = [shapely.box(5e5 + 5 * i, 5.4e6 - 20, 5e5 + 5 * i + 4, 5.4e6 - 10) for i in range(4)]
    names = np.array(["oak", "ignore", None, "ash"], object)
    pyogrio.raw.write(
        tmp_path / "trees.gpkg",
        shapely.to_wkb(np.array(boxes, object)),
        [names],
        ["Category"],
        driver="GPKG",
        geometry_type="Polygon",
        crs="EPSG:32633",
    )
    dataset = open_dataset(tmp_path, chip=256)
    assert dataset.labels.names == ("ash", "oak", "background")
    sample = dataset[0]
    assert sample.label_ids.tolist() == [1, 0, 2]
    assert sample.ignored[: SIZE[0], : SIZE[1]].sum() == 2 * 8 * 20


def write_box(path, properties, epsg=EPSG):
    ring = np.array([[10, 10], [60, 10], [60, 50], [10, 50], [10, 10]])
    return write_labels(path, [place(("Polygon", [ring]), UTM)] * len(properties), properties, epsg)


def test_the_property_of_classes(tmp_path):
    write_raster(tmp_path / "a.tif", noise())
    quoted = {"classification": {"name": "nucleus", "color": [1, 2, 3]}, "roof": "flat"}
    write_box(tmp_path / "a.geojson", [quoted, {"roof": "steep"}])
    labels = open_dataset(tmp_path).labels
    assert labels.names == ("nucleus", "background")
    by_roof = open_dataset(tmp_path, format="geotiff:roof")
    assert by_roof.labels.names == ("flat", "steep", "background")
    ordered = open_dataset(tmp_path, format="geotiff:roof", names=("steep", "flat"))
    assert ordered.labels.names == ("steep", "flat", "background")
    with pytest.raises(SettingsError, match=r"names its own \(flat, steep\)"):
        open_dataset(tmp_path, format="geotiff:roof", names=("a", "b"))
    with pytest.raises(DataError, match=r"no polygon of .* has the property wall"):
        open_dataset(tmp_path, format="geotiff:wall")
    write_box(
        tmp_path / "a.geojson", [{"label": "b", "label_id": 0}, {"label": "a", "label_id": 1}]
    )
    assert open_dataset(tmp_path).labels.names == ("b", "a", "background")


def test_whole_scenes_are_held_out(tmp_path):
    for number in range(5):
        # Scenes 0 and 1 overlap by half, the others lie apart.
        transform = (*UTM[:2], UTM[2] + (50 if number == 1 else 200 * number), *UTM[3:])
        write_scene(tmp_path / "data", f"scene{number}", transform, seed=number)
    train, val = open_train_and_val(tmp_path / "data", chip=64)
    scenes = [{path.name.split("_r0")[0] for path in part.paths} for part in (train, val)]
    assert not scenes[0] & scenes[1] and len(scenes[0] | scenes[1]) == 5
    assert {"scene0", "scene1"} <= scenes[0] or {"scene0", "scene1"} <= scenes[1]
    assert 1 <= len(scenes[1]) <= 2
    assert train.chips[1][1].column == 48  # chips for training overlap by a quarter
    assert val.chips[1][1].column == 64
    assert "5 scenes held out for validation: data/scene" in describe(val)
    digests = {label_digest(train, index) for index in range(len(train))}
    assert len(digests) > len(train) / 2 and None not in digests


def test_folders_of_splits_and_single_scenes(tmp_path):
    for split, number in (("train", 1), ("val", 2)):
        write_scene(tmp_path / "data" / split, f"scene{number}", seed=number)
    train, val = open_train_and_val(tmp_path / "data", chip=64)
    assert {path.name[:6] for path in train.paths} == {"scene1"}
    assert {path.name[:6] for path in val.paths} == {"scene2"}
    write_scene(tmp_path / "one")
    assert len(open_dataset(tmp_path / "one", chip=64)) == 12
    with pytest.raises(DataError, match=r"town\.tif is the only scene, and validation needs"):
        open_train_and_val(tmp_path / "one")


def test_check_reports_scenes_on_the_ground_of_training(tmp_path):
    from unimask.curation import check

    for split, shift in (("train", 0), ("val", 60), ("test", 500)):
        place_on_ground = (*UTM[:2], UTM[2] + shift, *UTM[3:])
        write_scene(tmp_path / split, split, place_on_ground, seed=shift)
    messages = [finding.message for finding in check(tmp_path, chip=256).findings]
    assert any(message.startswith("1 scene of val overlap scenes of train") for message in messages)
    assert not any("of test overlap" in message for message in messages)


def test_rasters_beside_scenes_are_left_out(tmp_path):
    write_scene(tmp_path)
    write_raster(tmp_path / "ids.tif", noise()[..., :1])
    other = (*UTM[:2], UTM[2] + 1, *UTM[3:])
    write_raster(tmp_path / "many.tif", noise().repeat(2, axis=2)[..., :5], other)
    dataset = open_dataset(tmp_path)
    assert {path.name[:5] for path in dataset.paths} == {"town_"}
    notes = describe(dataset)
    assert "rasters of fewer bands on the pixels of others are left out: 1, ids.tif" in notes
    assert "rasters of other bands are left out: 1" in notes


def test_large_scenes_are_read_by_windows(tmp_path):
    import rasterio

    place_on_ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(*UTM)}
    size = {"height": 20_000, "width": 20_000, "count": 3, "dtype": "uint8"}
    blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    with rasterio.open(
        tmp_path / "big.tif",
        "w",
        driver="GTiff",
        sparse_ok=True,
        **size,
        **place_on_ground,
        **blocks,
    ) as file:
        file.write(np.full((3, 512, 512), 9, np.uint8), window=((5120, 5632), (1024, 1536)))
    ring = np.array([[1030, 5130], [1130, 5130], [1130, 5180], [1030, 5180], [1030, 5130]])
    write_labels(tmp_path / "big.geojson", [place(("Polygon", [ring]), UTM)], [{}])
    tracemalloc.start()
    dataset = open_dataset(tmp_path)
    index = next(i for i, (_, w) in enumerate(dataset.chips) if (w.row, w.column) == (5120, 1024))
    sample = dataset[index]
    assert tracemalloc.get_traced_memory()[1] < 40e6
    tracemalloc.stop()
    assert (sample.image == 9).all() and sample.mask(1).sum() == 5000
    assert len(dataset) == 40 * 40


@pytest.mark.parametrize("case", ["elsewhere", "swapped", "damaged", "bands", "layers", "options"])
def test_bad_input_has_one_line(tmp_path, case):
    import pyogrio
    import shapely

    path = tmp_path / "a.tif"
    write_raster(path, noise())
    labels = write_box(tmp_path / "a.geojson", [{}], None)
    options = {}
    if case == "elsewhere":
        write_box(labels, [{}], 32634)
        message = (
            r"no polygon of .*a\.geojson \(WGS 84 / UTM zone 34N\) lies in a\.tif: they are at"
        )
    elif case == "swapped":
        content = json.loads(labels.read_text())
        geometry = content["features"][0]["geometry"]
        geometry["coordinates"] = [[point[::-1] for point in geometry["coordinates"][0]]]
        labels.write_text(json.dumps(content))
        message = "exchange x and y of its coordinates"
    elif case == "damaged":
        labels.write_text(labels.read_text()[:-30])
        message = r"a\.geojson cannot be read \("
    elif case == "bands":
        write_raster(path, noise().repeat(2, axis=2))
        message = r"a\.tif has 6 bands, but the model reads 3 channels: choose 3 bands"
    elif case == "layers":
        labels.unlink()
        shapes = shapely.to_wkb(np.array([shapely.box(0, 0, 1, 1)], object))
        for layer in ("one", "two"):
            pyogrio.raw.write(
                tmp_path / "a.gpkg",
                shapes,
                [],
                [],
                layer=layer,
                driver="GPKG",
                geometry_type="Polygon",
                crs="EPSG:32633",
                append=layer == "two",
            )
        message = r"a\.gpkg has several layers \(one, two\)"
    else:
        options, message = {"chip": 8}, "chip is 8: pass a side in pixels from 64 to 8192"
    with pytest.raises((DataError, ImageError, SettingsError), match=message):
        open_dataset(tmp_path, **options)


def test_pixel_geojson_beside_georeferenced_images_stays_in_pixels(tmp_path):
    write_raster(tmp_path / "a.tif", noise())
    content = {
        "type": "FeatureCollection",
        "image": {"file_name": "a.tif"},
        "features": [
            {
                "type": "Feature",
                "properties": {"label": "x"},
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]],
                },
            },
        ],
    }
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    dataset = open_dataset(tmp_path)
    assert dataset.info.format == "GeoJSON" and len(dataset) == 1
    with pytest.raises(SettingsError, match=r"chip \(--chip\) applies to scenes of GeoTIFF"):
        open_dataset(tmp_path, chip=512)


def write_class_maps(folder, values, count=3, dtype=np.uint16, **options):
    """Write scenes of 16-bit bands with class maps of random blocks of values, and return these."""
    maps = []
    for number in range(count):
        transform = (*UTM[:2], UTM[2] + 300 * number, *UTM[3:])
        blocks = np.random.default_rng(number).choice(values, (15, 20))
        maps.append(blocks.repeat(10, axis=0).repeat(10, axis=1).astype(np.uint8))
        for name, pixels in (
            ("images", noise(number, dtype=dtype)),
            ("masks", maps[-1][..., None]),
        ):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_raster(
                folder / name / f"scene{number}.tif",
                pixels,
                transform,
                **(options if name == "masks" else {}),
            )
    return maps


def test_class_maps_on_the_ground(tmp_path):
    maps = write_class_maps(tmp_path, [0, 1, 2, 9], nodata=9)
    (tmp_path / "classes.txt").write_text("water\nforest\nfield\n")
    dataset = open_dataset(tmp_path, chip=64)
    assert dataset.info.format == "GeoTIFF class maps" and dataset.info.tasks == ("semantic",)
    assert dataset.labels.names == ("water", "forest", "field") and not dataset.labels.things
    scenes = {scene.scene.path.stem: number for number, scene in enumerate(dataset.scenes)}
    for index, (labelled, window) in enumerate(dataset.chips):
        sample = dataset[index]
        expected = np.full((64, 64), -1)
        truth = maps[scenes[labelled.scene.path.stem]].astype(int)
        part = truth[window.row : window.bottom, window.column : window.right]
        expected[: part.shape[0], : part.shape[1]] = np.where(part == 9, -1, part)
        table = np.concatenate([[-1], sample.label_ids])
        np.testing.assert_array_equal(table[sample.front], expected)
        ignored = np.zeros((64, 64), bool) if sample.ignored is None else sample.ignored
        np.testing.assert_array_equal(ignored, expected < 0)
    train, val = open_train_and_val(tmp_path, chip=64)
    assert len(train.scenes) == 2 and len(val.scenes) == 1


def test_names_of_class_maps(tmp_path):
    import rasterio

    maps = write_class_maps(tmp_path, [0, 255], count=2)
    assert open_dataset(tmp_path).labels.names == ("background", "foreground")
    assert open_dataset(tmp_path, names=("land", "roof")).labels.names == ("land", "roof")
    (sample,) = [open_dataset(tmp_path)[0]]
    assert sample.mask(2)[:150, :200].sum() == (maps[0] == 255).sum()
    write_class_maps(tmp_path, [3, 7, 255], count=2)
    assert open_dataset(tmp_path).labels.names == ("class 3", "class 7")
    with rasterio.open(tmp_path / "masks/scene0.tif", "r+") as file:
        file.update_tags(1, **{"3": "road", "7": "rail"})
    assert open_dataset(tmp_path).labels.names == ("road", "rail")


def test_class_maps_that_do_not_fit_have_one_line(tmp_path):
    write_class_maps(tmp_path / "small", [0, 1])
    write_raster(tmp_path / "small/masks/scene1.tif", np.zeros((75, 100, 1), np.uint8))
    with pytest.raises(DataError, match=r"scene1\.tif \(100 x 75 pixels\) does not lie on"):
        open_dataset(tmp_path / "small")
    write_class_maps(tmp_path / "float", [0, 1])
    place_on_ground = (*UTM[:2], UTM[2] + 300, *UTM[3:])
    floats = np.zeros((150, 200, 1), np.float32)
    write_raster(tmp_path / "float/masks/scene1.tif", floats, place_on_ground)
    with pytest.raises(DataError, match=r"is no class map, it has 1 bands of float32"):
        open_dataset(tmp_path / "float")


def test_8_bit_rasters_with_maps_stay_images_unless_chips_are_requested(tmp_path):
    write_class_maps(tmp_path, [0, 1, 2], dtype=np.uint8)
    dataset = open_dataset(tmp_path)
    assert dataset.info.format.startswith("semantic maps") and len(dataset) == 3
    chips = open_dataset(tmp_path, format="geotiff-maps", chip=64)
    assert chips.info.format == "GeoTIFF class maps" and len(chips) == 36
    with pytest.raises(SettingsError, match="or pass --format geotiff or geotiff-maps"):
        open_dataset(tmp_path, chip=64)
