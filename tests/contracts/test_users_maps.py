"""Known problems with label maps: a test for each."""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from map_layouts import draw_photo, save
from PIL import Image

from unimask.datasets import describe, open_dataset
from unimask.datasets.maps.class_table import read_rows
from unimask.errors import DataError, UnimaskError

SIZE = (48, 64)
RECTANGLES = (
    ((4, 4, 20, 16), (34, 20, 18, 20)),
    ((10, 8, 24, 24),),
    ((2, 2, 12, 30), (30, 6, 20, 12)),
    ((8, 20, 30, 20),),
    ((5, 5, 15, 15), (40, 28, 16, 14)),
    ((20, 10, 24, 26),),
)
"""Objects of six images: x, y, width and height of each."""

AREAS = [sum(w * h for *_, w, h in objects) for objects in RECTANGLES]


def draw_ids(index, dtype=np.uint8):
    """Number the objects of an image from 1."""
    ids = np.zeros(SIZE, dtype)
    for number, (x, y, w, h) in enumerate(RECTANGLES[index], start=1):
        ids[y : y + h, x : x + w] = number
    return ids


def write_dataset(folder, draw, suffix=".png", masks="masks"):
    """Write six images of noise and what `draw` makes of each index as their maps."""
    for index in range(len(RECTANGLES)):
        save(folder / "images" / f"a{index}.png", draw_photo(index, SIZE))
        path = folder / masks / f"a{index}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = draw(index)
        if suffix == ".npy":
            np.save(path, labels, allow_pickle=labels.dtype == object)
        else:
            save(path, labels)
    return folder


def black_and_white(index):
    return (draw_ids(index) > 0).astype(np.uint8) * 255


def areas_of(dataset, index=0):
    """Count the pixels of each class in an image by name; None for what is ignored."""
    sample = dataset[index]
    labels = np.array([-1, *sample.label_ids])[sample.id_maps[0]]
    names = [*dataset.labels.names, None]
    return {names[i]: int((labels == i).sum()) for i in np.unique(labels).tolist()}


def smoothed(index):
    mask = Image.fromarray(black_and_white(index))
    return np.array(mask.resize((41, 31), Image.BILINEAR).resize((64, 48), Image.BICUBIC))


def with_stray_values(index):
    x, y, w, _ = RECTANGLES[index][0]
    mask = black_and_white(index)
    mask[y, x : x + w], mask[y + 1, x] = 254, 1
    return mask


@pytest.mark.parametrize(("draw", "area"), [(smoothed, None), (with_stray_values, AREAS[0] - 1)])
def test_masks_that_were_resized_or_smoothed_keep_their_object(tmp_path, draw, area):
    """Elsewhere each grey value becomes a class, and 255, the object itself, is ignored."""
    dataset = open_dataset(write_dataset(tmp_path, draw))
    assert dataset.labels.names == ("background", "foreground")
    assert "cut at 128" in describe(dataset) and "ignored" not in describe(dataset)
    expected = int((draw(0) >= 128).sum())
    assert areas_of(dataset)["foreground"] == expected == (area or expected)
    assert abs(expected - AREAS[0]) < 20


def test_classes_drawn_as_grey_values_are_not_thresholded(tmp_path):
    """Elsewhere a rule for smoothed masks also thresholds maps of many classes."""
    levels = np.array([0, 40, 90, 130, 170, 200, 240, 255], np.uint8)
    stripes = levels[np.arange(SIZE[1]) // 8 % 8]
    dataset = open_dataset(write_dataset(tmp_path, lambda _: np.tile(stripes, (SIZE[0], 1))))
    assert len(dataset.labels) in (7, 8) and "cut" not in describe(dataset)


def trimap(index):
    x, y, w, _ = RECTANGLES[index][0]
    mask = black_and_white(index)
    mask[y, x : x + w] = 128
    return mask


def test_the_object_of_a_trimap_is_not_ignored(tmp_path):
    """Elsewhere 255 means "ignored", which in a trimap is the object."""
    dataset = open_dataset(write_dataset(tmp_path, trimap))
    assert dataset.labels.names == ("class 0", "class 128", "class 255")
    assert areas_of(dataset) == {"class 0": 48 * 64 - 680, "class 128": 20, "class 255": 660}
    names = ("outside", "void", "cell")
    named = open_dataset(tmp_path, names=names)
    assert areas_of(named) == {"outside": 48 * 64 - 680, None: 20, "cell": 660}
    (tmp_path / "classes.txt").write_text("outside\n__ignore__\ncell\n")
    assert areas_of(open_dataset(tmp_path)) == areas_of(named)


def test_trimaps_of_1_2_3_keep_their_three_classes(tmp_path):
    """Oxford Pets: 1 is the pet, 2 the background, 3 the border."""
    dataset = open_dataset(
        write_dataset(tmp_path, lambda i: np.array([2, 3, 1], np.uint8)[trimap(i) // 127])
    )
    assert areas_of(dataset) == {"class 1": 660, "class 2": 48 * 64 - 680, "class 3": 20}


def test_ambiguous_value_255_requires_an_option(tmp_path):
    """Elsewhere 255 is silently ignored, and with it most of what was labelled."""
    edged = write_dataset(tmp_path / "a", lambda i: np.where(trimap(i) == 128, 1, trimap(i)))
    with pytest.raises(DataError, match=r"0 \(.*1 \(.*255 \(.*--names"):
        open_dataset(edged)
    assert areas_of(open_dataset(edged, names=("out", "edge", "cell")))["cell"] == 660
    assert areas_of(open_dataset(edged, names=("out", "edge")))[None] == 660
    bordered = write_dataset(
        tmp_path / "b", lambda i: np.array([0, 255, 1], np.uint8)[trimap(i) // 127]
    )
    dataset = open_dataset(bordered)
    assert areas_of(dataset) == {"class 0": 48 * 64 - 680, "class 1": 660, None: 20}
    assert "ignored: 255" in describe(dataset)


@pytest.mark.parametrize("colour", [0, 255])
def test_masks_in_the_alpha_channel_are_read(tmp_path, colour):
    """Elsewhere alpha is dropped, and only one colour remains."""

    def draw(index):
        return np.dstack([np.full((*SIZE, 3), colour, np.uint8), black_and_white(index)])

    dataset = open_dataset(write_dataset(tmp_path, draw))
    assert areas_of(dataset) == {"background": 48 * 64 - 680, "foreground": 680}


def test_ambiguous_alpha_channels_are_refused(tmp_path):
    """Elsewhere object ids in the alpha channel are silently lost."""

    def draw(index):
        ids = draw_ids(index)
        red = (ids > 0).astype(np.uint8) * 7
        return np.dstack([red, 0 * red, 0 * red, ids + 1])

    folder = write_dataset(tmp_path / "ids", draw)
    with pytest.raises(DataError, match=r"a0\.png has an alpha channel that separates"):
        open_dataset(folder)

    def painted(index):
        ids = draw_ids(index)
        return np.dstack([ids * 60, 0 * ids, ids * 100, (ids > 0) * np.uint8(255)])

    dataset = open_dataset(write_dataset(tmp_path / "plain", painted))
    assert areas_of(dataset) == {"#000000": 48 * 64 - 680, "#3c0064": 320, "#7800c8": 360}


@pytest.mark.parametrize("value", [0, 255])
def test_maps_in_which_nothing_is_labelled_are_refused(tmp_path, value):
    """Elsewhere a run starts and cannot learn anything."""
    folder = write_dataset(tmp_path, lambda _: np.full(SIZE, value, np.uint8))
    with pytest.raises(DataError, match=rf"nothing is labelled .* 6 maps has value {value}"):
        open_dataset(folder)


def test_objects_that_are_rare_are_found_behind_empty_maps(tmp_path):
    """Elsewhere only the first maps are inspected, and all are reported empty."""
    for index in range(40):
        mask = black_and_white(0) if index == 39 else np.zeros(SIZE, np.uint8)
        save(tmp_path / "images" / f"{index:02}.png", draw_photo(index, SIZE))
        save(tmp_path / "masks" / f"{index:02}.png", mask)
    dataset = open_dataset(tmp_path)
    assert areas_of(dataset, 39) == {"background": 48 * 64 - 680, "foreground": 680}


def write_pages(path, pages):
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=rest)


def test_objects_on_pages_of_their_own_are_all_read(tmp_path):
    """Elsewhere the first page is read, and the objects of the others become background."""
    for index in range(4):
        save(tmp_path / "images" / f"a{index}.tif", draw_photo(index, SIZE))
        pages = [np.zeros(SIZE, np.uint8) for _ in range(5 + index)]
        for number, page in enumerate(pages):
            x, y = number % 4 * 16 + 1, number // 4 * 14 + 1
            page[y : y + 9, x : x + 11] = 255
        write_pages(tmp_path / "masks" / f"a{index}.tif", pages)
    dataset = open_dataset(tmp_path)
    assert [int((dataset[i].label_ids == 0).sum()) for i in range(4)] == [5, 6, 7, 8]
    assert [(dataset[3].id_maps[0] == n).sum() for n in range(1, 9)] == [99] * 8
    assert "each page of a file is the mask of one object" in describe(dataset)
    semantic = open_dataset(tmp_path, format="semantic maps")
    assert areas_of(semantic, 1)["foreground"] == 6 * 99
    slices = [black_and_white(0)] * 3
    write_pages(tmp_path / "masks" / "a2.tif", slices)
    with pytest.raises(DataError, match=r"a2\.tif has 3 pages that overlap"):
        dataset[2]
    write_pages(tmp_path / "masks" / "a2.tif", [draw_ids(0), draw_ids(2)])
    with pytest.raises(DataError, match=r"a2\.tif has several pages, and page 1 more than two"):
        dataset[2]


def test_few_objects_per_image_are_not_taken_for_classes(tmp_path):
    """Penn-Fudan: elsewhere the second pedestrian of an image becomes another class."""
    folder = write_dataset(tmp_path, draw_ids)
    question = r"without gaps in 6 of 6 maps, 100 % .* 1 to 2 per map.*'instance ids' or --format"
    with pytest.raises(DataError, match=question):
        open_dataset(folder)
    objects = open_dataset(folder, format="instance ids")
    assert sum(int((s.label_ids == 0).sum()) for s in objects) == 9
    classes = open_dataset(folder, format="semantic maps")
    assert areas_of(classes)["class 2"] == 360
    (folder / "masks").rename(folder / "instance_masks")
    dataset = open_dataset(folder)
    assert dataset.labels.is_thing == (True, False)
    assert "called instance" in describe(dataset)


def test_objects_that_count_up_without_gaps_are_objects(tmp_path):
    """Elsewhere fewer than eight objects per image are read as classes."""

    def draw(index):
        row = np.repeat(np.arange(8), 8)
        return np.tile(np.where(row <= index, row, 0).astype(np.uint8), (SIZE[0], 1))

    dataset = open_dataset(write_dataset(tmp_path, draw))
    assert dataset.labels.is_thing == (True, False) and len(dataset[5].label_ids) == 6
    assert "without gaps in 5 of 5 maps" in describe(dataset)


def test_classes_in_the_upper_digits_of_ids_are_not_dropped(tmp_path):
    """Elsewhere `1000 * class + object` becomes objects of one class."""

    def draw(index):
        ids = draw_ids(index, np.uint16)
        return np.where(ids > 0, 24000 + 2000 * (ids == 2) + ids, 0).astype(np.uint16)

    folder = write_dataset(tmp_path, draw)
    with pytest.raises(DataError, match=r"look like 1000 \* class \+ number"):
        open_dataset(folder)
    assert len(open_dataset(folder, format="instance ids")[0].label_ids) == 3


ARRAYS = {
    "bool": lambda m: m > 0,
    "float": lambda m: (m > 0).astype(np.float64),
    "half": lambda m: (m > 0).astype(np.float16),
    "uint64": lambda m: (m > 0).astype(np.uint64),
    "big_endian": lambda m: (m > 0).astype(">i4"),
    "fortran": lambda m: np.asfortranarray(m > 0),
    "one_channel": lambda m: (m > 0)[..., None],
    "one_page": lambda m: (m > 0).astype(np.uint8)[None],
    "white": lambda m: (m > 0).astype(np.int64) * 255,
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_masks_that_numpy_saved_are_read_whatever_their_type(tmp_path, kind):
    """Elsewhere `np.save(path, mask > 0.5)` ends in a traceback."""
    dataset = open_dataset(write_dataset(tmp_path, lambda i: ARRAYS[kind](draw_ids(i)), ".npy"))
    assert areas_of(dataset) == {"background": 48 * 64 - 680, "foreground": 680}


REFUSED = {
    "probabilities": (lambda m: m * 0.3, "fractional values"),
    "nan": (lambda m: np.where(m > 0, np.nan, 0), "fractional values, or NaN"),
    "negative": (lambda m: m.astype(np.int64) - 1, "the least -1"),
    "huge": (lambda m: m.astype(np.uint64) * 2**40, "has the value"),
    "objects": (lambda m: m.astype(object), "array"),
    "structured": (lambda m: np.zeros(SIZE, [("a", "u1"), ("b", "u1")]), "not numbers"),
    "complex": (lambda m: m.astype(np.complex64), "not numbers"),
    "text": (lambda m: m.astype(str), "not numbers"),
    "stack": (lambda m: np.stack([m == 1, m == 2]), r"shape \(2, 48, 64\): a label map is"),
    "line": (lambda m: m.ravel(), r"shape \(3072,\)"),
    "nothing": (lambda m: m[:0], "no pixels"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_arrays_that_are_not_maps_are_one_line_errors(tmp_path, kind):
    draw, message = REFUSED[kind]
    folder = write_dataset(tmp_path, lambda i: draw(draw_ids(i)), ".npy")
    with pytest.raises(DataError, match=message) as raised:
        open_dataset(folder)[0]
    assert "masks/a0.npy" in str(raised.value) and "\n" not in str(raised.value)


def test_an_array_that_unpacks_to_gigabytes_is_refused_by_its_header(tmp_path):
    """Elsewhere a sparse file of a few bytes fills the memory."""
    folder = write_dataset(tmp_path, draw_ids, ".npy")
    header = {"descr": "<f8", "fortran_order": False, "shape": (200_000, 200_000)}
    with (folder / "masks" / "a0.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 8 * 200_000**2)
    before = time.monotonic()
    with pytest.raises(DataError, match="pixels: cut it"):
        open_dataset(folder)
    assert time.monotonic() - before < 2


def test_names_that_mean_void_are_ignored_in_each_kind_of_table(tmp_path):
    """Elsewhere `__ignore__` is a class like any other."""
    folder = write_dataset(tmp_path, black_and_white)
    (folder / "classes.txt").write_text("__ignore__\ncell\n")
    dataset = open_dataset(folder)
    assert areas_of(dataset) == {None: 48 * 64 - 680, "cell": 680}
    (folder / "classes.txt").unlink()
    (folder / "labels.json").write_text('{"thing": "cell", "stuff": "void"}')
    dataset = open_dataset(folder)
    assert dataset.labels.names == ("cell",) and areas_of(dataset) == areas_of(dataset)
    assert dataset[0].ignored.sum() == 48 * 64 - 680


HOSTILE_LINES = (
    "a" + "," * 200_000,
    "1" * 100_000,
    "a " * 100_000,
    ("1," * 50_000) + "x",
    ": " * 9,
)


@pytest.mark.parametrize("name", ["classes.txt", "classes.csv", "labels.json"])
def test_parsing_class_tables_is_linear(tmp_path, name):
    """Elsewhere a regular expression takes hours on a line of commas."""
    texts = [*HOSTILE_LINES, "\n".join(["a,,,,b"] * 100_000), "[" * 100_000, '{"a":' * 50_000]
    before = time.process_time()
    for text in texts:
        (tmp_path / name).write_text(text)
        assert all(row.name for row in read_rows(tmp_path / name))
    assert time.process_time() - before < 1


@settings(max_examples=60)
@given(st.text("a1, ;:\t#\"'[]{}\n\u00e9", max_size=400), st.sampled_from(["txt", "csv", "json"]))
def test_any_text_is_a_table_or_none(tmp_path_factory, text, suffix):
    path = tmp_path_factory.mktemp("table") / f"classes.{suffix}"  # used by no other test
    path.write_text(text)
    assert all(isinstance(row.name, str) and row.name for row in read_rows(path))


ODD_JSON = (
    '{"thing": ["cell"], "stuff": "x"}',
    '{"thing": null, "stuff": "x"}',
    '{"thing": "a", "stuff": "\\ud800"}',
    '{"classes": 5}',
    '{"classes": [{"name": ["a"], "color": [1, 2, 3]}]}',
    '{"classes": [{"name": "a", "id": 1e400}]}',
    '{"classes": [{"name": "a", "id": NaN}]}',
    '{"classes": [{"name": "a", "color": [1e300, 0, 0]}]}',
    '{"a": true}',
    '["\\ud800"]',
    '["", ""]',
    "null",
    "[" * 2000 + "]" * 2000,
)


@pytest.mark.parametrize("text", ODD_JSON)
def test_invalid_jsons_beside_maps_are_one_line_errors(tmp_path, text):
    """Elsewhere they are a traceback."""
    folder = write_dataset(tmp_path, black_and_white)
    (folder / "labels.json").write_text(text)
    with pytest.raises(UnimaskError, match=r"labels\.json"):
        open_dataset(folder)[0]


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        [None],
        [{"readable": "a", "evaluate": False, "instances": True, "color": [1, 2, 3]}],
        [{"readable": ["a"], "evaluate": True, "instances": True, "color": [1, 2, 3]}],
        [{"readable": "a", "evaluate": True, "instances": True, "color": [1, 2, 1e300]}],
        [{"readable": "a", "evaluate": True, "instances": True, "color": "red"}],
        [{"readable": "\ud800", "evaluate": True, "instances": True, "color": [1, 2, 3]}],
    ],
)
def test_a_damaged_configuration_of_mapillary_is_one_line(tmp_path, labels):
    (tmp_path / "config.json").write_text(json.dumps({"labels": labels}))
    for kind in ("images", "labels"):
        save(tmp_path / "training" / kind / "0.png", draw_ids(0))
    with pytest.raises(UnimaskError, match=r"config\.json is not Mapillary's configuration"):
        open_dataset(tmp_path)


def write_masks(folder, name, draw, numbers=range(6)):
    """Write the masks of some images; `name` is the pattern of file names."""
    for index in numbers:
        mask = draw(index)
        if mask.any():
            save(folder / name.format(index), mask.astype(np.uint8) * 255)


def write_images(folder, name="images/a{}.png", count=6):
    for index in range(count):
        save(folder / name.format(index), draw_photo(index, SIZE))
    return folder


def first(index):
    return draw_ids(index) == 1


def second(index):
    return draw_ids(index) == 2


CLASS_LAYOUTS = {
    "folders": ("images/a{}.png", "masks/cat/a{}.png", "masks/dog/a{}.png"),
    "outer folders": ("images/a{}.png", "cat_masks/a{}.png", "dog_masks/a{}.png"),
    "endings": ("images/a{}.png", "masks/a{}_cat.png", "masks/a{}_dog.png"),
    "folders and endings": (
        "images/train/a{}.png",
        "groundtruths/train/1. cat/a{}_CA.png",
        "groundtruths/train/2. dog/a{}_DO.png",
    ),
    "beside": ("data/a{}.jpg", "data/a{}_mask_cat.png", "data/a{}_mask_dog.png"),
}


@pytest.mark.parametrize("layout", CLASS_LAYOUTS)
def test_masks_of_one_class_each_are_all_read(tmp_path, layout):
    """Elsewhere one folder is read, and the other classes are trained as background."""
    images, cats, dogs = CLASS_LAYOUTS[layout]
    write_images(tmp_path, images)
    write_masks(tmp_path, cats, first)
    write_masks(tmp_path, dogs, second)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 6 and dataset.labels.names == ("background", "cat", "dog")
    assert areas_of(dataset) == {"background": 48 * 64 - 680, "cat": 320, "dog": 360}
    assert areas_of(dataset, 1) == {"background": 48 * 64 - 576, "cat": 576}
    named = open_dataset(tmp_path, names=("Katze", "Hund"))
    assert areas_of(named)["Hund"] == 360


def test_where_classes_overlap_the_smaller_mask_is_in_front(tmp_path):
    """In images of eyes, the cup is inside the disc."""
    write_images(tmp_path)
    cup = np.zeros(SIZE, bool)
    cup[5:10, 5:10] = True
    write_masks(tmp_path, "masks/cup/a{}.png", lambda _: cup)
    write_masks(tmp_path, "masks/disc/a{}.png", first)
    save(tmp_path / "masks" / "cup" / "a1.png", np.zeros(SIZE, np.uint8))
    dataset = open_dataset(tmp_path)
    assert areas_of(dataset) == {"background": 48 * 64 - 320, "cup": 25, "disc": 295}
    assert "the smaller one is in front" in describe(dataset)


def write_second_masks(folder):
    write_images(folder, "benign/benign ({}).png")
    write_masks(folder, "benign/benign ({})_mask.png", first)
    write_masks(folder, "benign/benign ({})_mask_1.png", second)
    return folder


def test_second_masks_of_an_image_are_read_too(tmp_path):
    """Elsewhere `x_mask_1.png` is an image without a map, and its object background."""
    dataset = open_dataset(write_second_masks(tmp_path))
    assert len(dataset) == 6 and dataset.labels.names == ("background", "foreground")
    assert [areas_of(dataset, i)["foreground"] for i in range(6)] == AREAS
    assert "3 images have several masks, joined into one" in describe(dataset)
    assert "no map" not in describe(dataset)
    objects = open_dataset(tmp_path, format="instance ids")
    assert sum(int((sample.label_ids == 0).sum()) for sample in objects) == 9


def test_equal_numbered_masks_are_not_merged(tmp_path):
    """Elsewhere masks of two annotators are merged."""
    write_images(tmp_path)
    write_masks(tmp_path, "masks/a{}_mask_1.png", first)
    write_masks(tmp_path, "masks/a{}_mask_2.png", first)
    with pytest.raises(DataError, match="masks of one image that show the same"):
        open_dataset(tmp_path)


def test_field_of_view_masks_are_not_ground_truth(tmp_path):
    """DRIVE: elsewhere the camera's field of view, equal in all images, is trained on."""
    view = np.zeros(SIZE, bool)
    view[3:45, 3:61] = True
    for part, numbers in (("training", range(4)), ("test", range(4, 6))):
        for index in numbers:
            save(tmp_path / part / "images" / f"{index}_{part}.tif", draw_photo(index, SIZE))
        write_masks(tmp_path, f"{part}/1st_manual/{{}}_manual1.gif", lambda i: draw_ids(i), numbers)
        write_masks(tmp_path, f"{part}/mask/{{}}_{part}_mask.gif", lambda _: view, numbers)
    for index in range(6):
        part = "training" if index < 4 else "test"
        mask = (draw_ids(index) > 0).astype(np.uint8) * 255
        save(tmp_path / part / "1st_manual" / f"{index}_manual1.gif", mask)
    test = open_dataset(tmp_path, "test")
    assert [areas_of(test, i)["foreground"] for i in range(2)] == AREAS[4:]
    assert "mask is not read: it is the same for every image" in describe(test)
    dataset = open_dataset(tmp_path, "test", masks="mask")
    assert areas_of(dataset)["foreground"] == 42 * 58


def test_masks_of_two_annotators_require_an_option(tmp_path, command, check_error):
    """Elsewhere one of them is read without a message."""
    write_images(tmp_path, "Image_{}L.jpg")
    write_masks(tmp_path, "Image_{}L_1stHO.png", lambda i: draw_ids(i) > 0)
    write_masks(tmp_path, "Image_{}L_2ndHO.png", first)
    with pytest.raises(DataError, match=r"several maps for one image.*1stHO, 2ndHO; .*--masks"):
        open_dataset(tmp_path)
    assert areas_of(open_dataset(tmp_path, masks="_1stHO"))["foreground"] == 680
    assert areas_of(open_dataset(tmp_path, masks="2ndho"))["foreground"] == 320
    with pytest.raises(DataError, match=r"no maps called '3rd'.* 1stHO, 2ndHO"):
        open_dataset(tmp_path, masks="3rd")
    code, _, err = command("check", tmp_path)
    check_error(code, err, "--masks 1stHO")
    code, out, _ = command("check", tmp_path, "--masks", "1stHO")
    assert code in (0, 1) and "foreground" in out


def test_alternative_maps_with_other_values_require_an_option(tmp_path):
    """Elsewhere the first folder by name is read."""
    write_images(tmp_path)
    for index in range(6):
        save(tmp_path / "labels" / "semantic" / f"a{index}.png", draw_ids(index))
        save(tmp_path / "labels" / "instances" / f"a{index}.png", draw_ids(index) * 3)
    with pytest.raises(
        DataError, match=r"labels/instances, labels/semantic; choose one by --masks"
    ):
        open_dataset(tmp_path)
    assert areas_of(open_dataset(tmp_path, masks="semantic"))["class 2"] == 360


def test_copies_of_maps_are_ignored(tmp_path):
    write_dataset(tmp_path, black_and_white)
    write_dataset(tmp_path, black_and_white, ".npy", "masks_npy")
    dataset = open_dataset(tmp_path)
    assert areas_of(dataset)["foreground"] == 680 and "it equals" in describe(dataset)


def test_a_folder_of_masks_per_image_is_read_as_objects(tmp_path):
    """Elsewhere the original Data Science Bowl data are not recognised."""
    for index in range(6):
        save(tmp_path / f"id{index}" / "images" / f"id{index}.png", draw_photo(index, SIZE))
        for number in np.unique(draw_ids(index))[1:]:
            mask = (draw_ids(index) == number).astype(np.uint8) * 255
            save(tmp_path / f"id{index}" / "masks" / f"{index}b{number}f.png", mask)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 6 and dataset.labels.is_thing == (True, False)
    assert sum(int((sample.label_ids == 0).sum()) for sample in dataset) == 9
    assert sorted(areas_of(dataset).values()) == [680, 48 * 64 - 680]
    assert areas_of(open_dataset(tmp_path, format="semantic maps"))["foreground"] == 680


def test_splits_may_call_their_maps_differently(tmp_path):
    for split, kind in (("train", "masks"), ("val", "labels")):
        for index in range(6):
            save(tmp_path / split / "images" / f"{index}.png", draw_photo(index, SIZE))
            save(tmp_path / split / kind / f"{index}.png", black_and_white(index))
    assert [len(open_dataset(tmp_path, split)) for split in ("train", "val")] == [6, 6]


def test_classes_of_voc_are_read_and_its_objects_are_named(tmp_path):
    write_dataset(tmp_path, lambda i: np.where(draw_ids(i) > 0, 15, 0).astype(np.uint8))
    (tmp_path / "masks").rename(tmp_path / "SegmentationClass")
    for index in range(6):
        save(tmp_path / "SegmentationObject" / f"a{index}.png", draw_ids(index))
    dataset = open_dataset(tmp_path)
    assert areas_of(dataset)["class 15"] == 680
    assert "SegmentationObject is not read (--masks SegmentationObject" in describe(dataset)
    objects = open_dataset(tmp_path, masks="SegmentationObject")
    assert objects.labels.is_thing == (True, False) and len(objects[0].label_ids) == 3
