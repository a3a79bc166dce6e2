"""Balance of classes if most images show nothing but background."""

import numpy as np
import pytest
from PIL import Image
from tiles import write_tiles

from unimask.datasets import open_dataset
from unimask.datasets.statistics import share_of_plain_images
from unimask.presets import per_pixel_resnet50
from unimask.training.plan.plan import plan_run
from unimask.training.plan.rare_classes import choose_balance, measure_plain_share
from unimask.training.plan.words import describe
from unimask.training.request import Request


def planned(folder, cracked, **changes):
    data = write_tiles(folder, cracked, 26)
    return plan_run(Request(data=data, model="mask2former-nano", changes={"size": 64} | changes))


def test_the_share_counts_images_without_any_rarer_class():
    shown = np.zeros((40, 3), bool)
    shown[:, 0] = True  # background
    shown[:6, 1] = shown[4:10, 2] = True
    assert share_of_plain_images(shown) == pytest.approx(30 / 40)
    assert share_of_plain_images(shown[:, 1:]) == pytest.approx(30 / 40)  # things only
    assert share_of_plain_images(shown[:19]) == 0.0


def test_no_image_is_plain_if_all_classes_are_common():
    shown = np.ones((40, 3), bool)
    assert share_of_plain_images(shown) == 0.0
    shown[:, 2] = False  # a class of the label set that no image shows
    assert share_of_plain_images(shown) == 0.0
    shown[0, 2] = True
    assert share_of_plain_images(shown) == pytest.approx(39 / 40)


def test_images_of_the_same_two_classes_are_not_balanced(tmp_path):
    plan = planned(tmp_path, cracked=26)
    assert plan.settings.repeat_rare == 0.0 and not plan.settings.weigh_classes


def test_classes_are_balanced_if_most_images_are_plain(tmp_path):
    plan = planned(tmp_path, cracked=5)
    assert plan.settings.repeat_rare == 1.0 and plan.settings.weigh_classes
    text = describe(plan.facts)
    assert "show none of the rarer classes, whose images are repeated (--repeat-rare 1)" in text


def test_classes_are_not_balanced_otherwise(tmp_path):
    plan = planned(tmp_path, cracked=20)
    assert plan.settings.repeat_rare == 0.0 and not plan.settings.weigh_classes
    assert "--repeat-rare" not in describe(plan.facts)


def test_given_options_are_not_changed(tmp_path):
    plan = planned(tmp_path, cracked=5, repeat_rare=0.0)
    assert plan.settings.repeat_rare == 0.0 and plan.settings.weigh_classes
    assert "(--repeat-rare 0) and which weigh more" in describe(plan.facts)
    both = planned(tmp_path / "both", cracked=5, repeat_rare=0.2, weigh_classes=False)
    assert both.settings.repeat_rare == 0.2 and not both.settings.weigh_classes
    assert "--repeat-rare" not in describe(both.facts)


def test_dark_images_are_read_without_warnings(tmp_path, recwarn):
    data = write_tiles(tmp_path, 5, 26)
    for path in (data / "train" / "images").iterdir():
        Image.fromarray(np.asarray(Image.open(path))[..., 0].astype(np.uint16)).save(path)
    assert measure_plain_share(open_dataset(data, "train")) > 0.5
    assert not [warning for warning in recwarn if "--window" in str(warning.message)]


def test_networks_that_classify_pixels_have_no_class_weights():
    assert choose_balance(per_pixel_resnet50(), 0.7, {}) == {"repeat_rare": 1.0}
    assert choose_balance(per_pixel_resnet50(), 0.5, {}) == {}
