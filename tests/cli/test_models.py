"""`unimask models` on the command line."""

import json


def test_search_words_filter_models(command):
    code, printed, _ = command("models", "swin-tiny", "coco", "panoptic")
    assert code == 0
    assert "mask2former-swin-tiny-coco-panoptic" in printed and "53.2" in printed
    assert "instance" not in printed and "CC-BY-NC-4.0" in printed


def test_oneformers_fit_every_task(command):
    code, printed, _ = command("models", "dinat", "instance", "cityscapes")
    assert code == 0 and "oneformer-dinat-large-cityscapes" in printed
    code, printed, _ = command("models", "r101c", "coco")
    assert code == 0 and "maskformer-resnet101c-coco-stuff-10k-semantic" in printed


def test_bundled_models_come_first(command):
    code, printed, _ = command("models")
    assert code == 0 and printed.startswith("nuclei: bundled")
    assert printed.splitlines()[1].startswith("rendered-town: bundled")


def test_configurations_without_weights_are_listed_separately(command):
    code, printed, _ = command("models", "oneformer", "resnet50", "coco")
    assert code == 0 and printed.strip().endswith("for unimask train: oneformer-resnet50-coco")


def test_json_has_addresses(command):
    code, printed, _ = command("models", "oneformer", "dinat", "cityscapes", "--json")
    (row,) = json.loads(printed)
    assert code == 0 and row["file"].endswith("250_16_dinat_l_oneformer_cityscapes_90k.pth")
    assert row["hub"] == "shi-labs/oneformer_cityscapes_dinat_large" and row["licence"] == "MIT"
    assert row["tasks"] == ["panoptic", "instance", "semantic"]


def test_unknown_models_are_reported(command, check_error):
    code, _, err = command("models", "yolo")
    check_error(code, err, "no model is called yolo")
