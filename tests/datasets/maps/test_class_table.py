"""Class tables in all supported forms."""

import pytest

from unimask.datasets.maps.class_table import Row, find_tables, is_void
from unimask.errors import DataError

ROAD, SKY = 0x804080, 0x4682B4

TABLES = {
    "classes.json": '{"classes": [{"title": "road", "color": "#804080"},'
    ' {"name": "sky", "color": [70, 130, 180], "id": 71234}]}',
    "labels.json": '{"road": [128, 64, 128], "sky": "70,130,180"}',
    "meta.json": '{"labels": [{"label": "road", "rgb": "128 64 128"},'
    ' {"label": "sky", "rgb": "#4682b4ff"}]}',
    "class_dict.csv": "name,r,g,b\nroad,128,64,128\nsky,70,130,180\n",
    "class_dict_seg.csv": "name, r, g, b\nroad, 128, 64, 128\n\nsky, 70, 130, 180\n",
    "colours.csv": "Class,Red,Green,Blue\nroad,128,64,128\nsky,70,130,180\n",
    "classes.csv": "road,128,64,128\nsky,70,130,180\n",
    "label_colors.txt": "128 64 128\troad\n70 130 180\tsky\n",
    "labelmap.txt": "# label:color_rgb:parts:actions\nroad:128,64,128::\nsky:70,130,180::\n",
}
NAMED = {
    "classes.txt": ("road\nsky\n", None),
    "codes.txt": ("\ufeffroad\r\nsky", None),
    "labels.txt": ("0 road\n7: sky\n", (0, 7)),
    "classes.json": ('["road", "sky"]', None),
    "id2label.json": ('{"0": "road", "7": "sky"}', (0, 7)),
    "labels.json": ('{"road": 0, "sky": 7}', (0, 7)),
    "classes.csv": ("id,name\n0,road\n7,sky\n", (0, 7)),
}


@pytest.mark.parametrize("name", TABLES)
def test_names_and_colours(tmp_path, name):
    (tmp_path / name).write_text(TABLES[name])
    (table,) = find_tables([tmp_path])
    assert table.rows == (Row("road", ROAD), Row("sky", SKY)) and table.coloured


@pytest.mark.parametrize("name", NAMED)
def test_names_and_values(tmp_path, name):
    text, values = NAMED[name]
    (tmp_path / name).write_text(text)
    (table,) = find_tables([tmp_path])
    first, second = values or (None, None)
    assert table.rows == (Row("road", None, first), Row("sky", None, second))
    assert not table.coloured


def test_other_files_are_no_tables(tmp_path):
    (tmp_path / "train.csv").write_text("image,label\n1.png,cat\n")
    (tmp_path / "metrics.json").write_text('{"loss": 3, "classes": ["a"]}')
    (tmp_path / "instances.json").write_text('{"images": [], "categories": [{"name": "a"}]}')
    (tmp_path / "README.txt").write_text("road\nsky\n")
    (tmp_path / "labels.json").write_text('{"thing": "cell", "stuff": "ground"}')
    assert find_tables([tmp_path]) == []


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"road": [1, 2]}', '{"road": [1, 2, 999]}'])
def test_files_named_like_tables_must_be_tables(tmp_path, text):
    (tmp_path / "classes.json").write_text(text)
    with pytest.raises(DataError, match=r"classes\.json is not a class table"):
        find_tables([tmp_path])


def test_reserved_names_are_not_classes():
    names = ("Void", "unlabelled", "Un_labeled", "ignore-label", "Don't care", "background")
    assert [is_void(name) for name in names] == [True, True, False, True, True, False]
