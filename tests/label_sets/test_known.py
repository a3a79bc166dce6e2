"""Label sets of public datasets: as many as networks have outputs, and told apart by name."""

import subprocess
import sys

import pytest

from unimask.label_sets import SIZES, known_colours, known_labels, recognise

THINGS = {
    "coco_panoptic": 80,
    "coco_instance": 80,
    "coco_stuff": 80,
    "ade20k": 100,
    "ade20k_instance": 100,
    "ade20k_full": 0,
    "cityscapes": 8,
    "cityscapes_instance": 8,
    "mapillary_vistas": 37,
}


@pytest.mark.parametrize("name", SIZES)
def test_a_set_is_whole(name):
    labels, colours = known_labels(name), known_colours(name)
    assert len(labels) == len(colours) == SIZES[name]
    assert len(set(labels.names)) == len(labels)
    assert len(labels.things) == THINGS[name]
    assert recognise(labels.names) == name
    assert all(text == text.strip() for text in labels.names)


def test_sizes_tell_sets_apart():
    assert len(set(SIZES.values())) == len(SIZES)


def test_orders_and_colours_are_the_published_ones():
    coco = known_labels("coco_panoptic")
    assert coco.things == tuple(range(80))
    assert (coco.names[0], coco.names[79], coco.names[80]) == ("person", "toothbrush", "banner")
    assert coco.names[132] == "rug-merged" and known_colours("coco_panoptic")[0] == (220, 20, 60)
    assert known_labels("coco_instance").names == coco.names[:80]
    city = known_labels("cityscapes_instance")
    assert city.names[0] == "person" and city.names[7] == "bicycle"
    assert known_colours("cityscapes")[0] == (128, 64, 128)
    ade, objects = known_labels("ade20k"), known_labels("ade20k_instance")
    assert ade.names[7] == "bed" == objects.names[0] and ade.names[149] == "flag"
    shared = [known_colours("ade20k")[index] for index in ade.things]
    assert shared == list(known_colours("ade20k_instance"))
    assert known_colours("ade20k_full") == (None,) * 847


def test_names_are_recognised_under_synonyms_but_not_at_random():
    ade = known_labels("ade20k").names
    short = [name.split(",")[0].upper() + " " for name in ade]
    short[8], short[37], short[89] = "windowpane", "bathtub", "television receiver"
    assert recognise(short) == "ade20k"
    assert recognise(ade[::-1]) is None
    assert recognise(ade[:-1]) is None
    assert recognise([f"LABEL_{index}" for index in range(150)]) is None
    assert recognise(["cell", "ground"]) is None


def test_files_are_read_only_when_asked_for():
    code = (
        "import sys; from unimask.label_sets.known import read_classes, recognise; "
        "recognise(['cell']); print(read_classes.cache_info().currsize, 'torch' in sys.modules)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.split() == ["0", "False"], printed.stderr
