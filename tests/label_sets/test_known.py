"""Label sets of published datasets: sizes, and recognition by name."""

import subprocess
import sys

import pytest

from unimask.label_sets import NUM_CLASSES, add_known_colours, find_label_set, known_labels
from unimask.labels import LabelSet, is_unused

THINGS = {
    "coco_panoptic": 80,
    "coco_instance": 80,
    "coco_stuff": 80,
    "coco_detr": 91,
    "ade20k": 100,
    "ade20k_instance": 100,
    "ade20k_full": 0,
    "cityscapes": 8,
    "cityscapes_instance": 8,
    "mapillary_vistas": 37,
    "camvid": 0,
    "dubai_aerial": 0,
    "pascal_voc": 20,
    "youtube_vis_2019": 40,
    "youtube_vis_2021": 40,
}


@pytest.mark.parametrize("name", NUM_CLASSES)
def test_label_sets_are_complete(name):
    labels = known_labels(name)
    assert len(labels) == NUM_CLASSES[name] and len(labels.colours) in (0, NUM_CLASSES[name])
    assert len(set(labels.names)) == len(labels)
    assert len(labels.things) == THINGS[name]
    assert find_label_set(labels.names) == name
    assert all(text == text.strip() for text in labels.names)


def test_label_sets_are_distinguished_by_size_except_those_of_youtube_vis():
    assert len(set(NUM_CLASSES.values())) == len(NUM_CLASSES) - 1
    first, second = (known_labels(f"youtube_vis_{year}") for year in (2019, 2021))
    assert len(set(first.names) & set(second.names)) == 35
    assert first.names[:2] == ("person", "giant_panda") and second.names[25] == "person"
    assert second.names == tuple(sorted(second.names))
    assert first.category_ids == second.category_ids == tuple(range(1, 41))


def test_class_order_and_colours_equal_the_published():
    coco = known_labels("coco_panoptic")
    assert coco.things == tuple(range(80))
    assert (coco.names[0], coco.names[79], coco.names[80]) == ("person", "toothbrush", "banner")
    assert coco.names[132] == "rug-merged" and coco.colours[0] == (220, 20, 60)
    assert known_labels("coco_instance").names == coco.names[:80]
    city = known_labels("cityscapes_instance")
    assert city.names[0] == "person" and city.names[7] == "bicycle"
    assert known_labels("cityscapes").colours[0] == (128, 64, 128)
    ade, objects = known_labels("ade20k"), known_labels("ade20k_instance")
    assert ade.names[7] == "bed" == objects.names[0] and ade.names[149] == "flag"
    shared = [ade.colours[index] for index in ade.things]
    assert shared == list(objects.colours)
    assert known_labels("ade20k_full").colours == ()
    assert known_labels("coco_stuff").colours[80:] == (None,) * 91


def test_names_are_recognised_under_synonyms_but_not_at_random():
    ade = known_labels("ade20k").names
    short = [name.split(",")[0].upper() + " " for name in ade]
    short[8], short[37], short[89] = "windowpane", "bathtub", "television receiver"
    assert find_label_set(short) == "ade20k"
    assert find_label_set(ade[::-1]) is None
    assert find_label_set(ade[:-1]) is None
    assert find_label_set([f"LABEL_{index}" for index in range(150)]) is None
    assert find_label_set(["cell", "ground"]) is None


def test_names_of_a_known_set_bring_its_colours():
    city = known_labels("cityscapes")
    plain = LabelSet(tuple(name.upper() for name in city.names), (True,) * 19)
    assert add_known_colours(plain).colours == city.colours
    assert add_known_colours(plain).is_thing == plain.is_thing
    own = LabelSet(city.names, city.is_thing, ((1, 2, 3),) * 19)
    assert add_known_colours(own).colours == own.colours
    assert add_known_colours(LabelSet(("cell",), (True,))).colours == ()


def test_files_are_read_on_demand():
    code = (
        "import sys; from unimask.label_sets.known import read_classes, find_label_set; "
        "find_label_set(['cell']); "
        "print(read_classes.cache_info().currsize, 'torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.split() == ["0", "False"], printed.stderr


def test_coco_has_its_official_category_ids():
    panoptic, instance, stuff = map(known_labels, ("coco_panoptic", "coco_instance", "coco_stuff"))
    for labels in (panoptic, instance, stuff):
        ids = dict(zip(labels.names, labels.category_ids, strict=True))
        assert (ids["person"], ids["stop sign"], ids["toothbrush"]) == (1, 13, 90)
        gaps = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
        assert set(labels.category_ids[:80]) == set(range(1, 91)) - gaps
    ids = dict(zip(panoptic.names, panoptic.category_ids, strict=True))
    assert (ids["banner"], ids["water-other"], ids["rug-merged"]) == (92, 178, 200)
    assert stuff.category_ids[80:] == tuple(range(92, 183)) and stuff.names[-1] == "wood"
    assert known_labels("ade20k").category_ids == ()


def test_outputs_of_detr_are_category_ids():
    panoptic, detr = known_labels("coco_panoptic"), known_labels("coco_detr")
    assert detr.category_ids == tuple(range(250)) and detr.things == tuple(range(91))
    used = [label for label, name in enumerate(detr.names) if not is_unused(name)]
    assert used == sorted(panoptic.category_ids)
    for label, number in enumerate(panoptic.category_ids):
        assert detr.names[number] == panoptic.names[label]
        assert detr.colours[number] == panoptic.colours[label]
        assert detr.is_thing[number] == panoptic.is_thing[label]
    assert detr.names[12] == "unused 12" and detr.colours[12] is None


def test_names_of_unused_outputs_do_not_matter():
    names = [f"N/A {name}" if is_unused(name) else name for name in known_labels("coco_detr").names]
    assert find_label_set(names) == "coco_detr"
    assert find_label_set([f"unused {index}" for index in range(250)]) is None
