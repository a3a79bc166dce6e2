"""Thresholds depend on dataset and task, and are replaced when fine-tuning on others."""

from dataclasses import replace

import pytest
from conftest import tiny_checkpoint

from unimask.config import PostprocessingConfig
from unimask.label_sets import known_labels
from unimask.labels import TASKS, LabelSet
from unimask.presets import preset
from unimask.training.plan.facts import ThresholdsReplaced
from unimask.training.plan.thresholds import choose_thresholds

CELLS = LabelSet(("cell", "ground"), (True, False))
NUCLEI = LabelSet(("nucleus", "ground"), (True, False))
TUNED = PostprocessingConfig(object_threshold=0.3, overlap_threshold=0.6, min_visible=0.5, top_k=7)


def weights(labels, tasks=TASKS, network="mask2former-resnet50", rules=TUNED):
    labels = labels if isinstance(labels, LabelSet) else known_labels(labels)
    return replace(
        tiny_checkpoint().description, config=preset(network, len(labels)), labels=labels,
        tasks=tasks, postprocessing=rules,
    )  # fmt: skip


@pytest.mark.parametrize("labels", ["mapillary_vistas", CELLS])
def test_the_same_classes_and_tasks_keep_their_rules(labels):
    known = weights(labels, tasks=("panoptic", "semantic"))
    for tasks in (("panoptic",), ("semantic",)):
        assert choose_thresholds(known, known.labels, tasks) == (TUNED, None)


@pytest.mark.parametrize(
    ("network", "old", "new", "tasks", "threshold", "resize", "dataset"),
    [
        ("mask2former-resnet50", "coco_panoptic", "mapillary_vistas", ("panoptic",), 0.0, "masks",
         "mapillary-vistas"),
        ("mask2former-resnet50", "mapillary_vistas", "coco_panoptic", ("panoptic",), 0.8, "masks",
         "coco"),
        ("mask2former-resnet50", "coco_panoptic", "ade20k", ("semantic",), 0.8, "scores",
         "ade20k"),
        ("mask2former-resnet50", CELLS, "mapillary_vistas", ("panoptic",), 0.0, "masks",
         "mapillary-vistas"),
        ("maskformer-resnet50", "coco_panoptic", "ade20k", ("panoptic",), 0.7, "masks", "ade20k"),
        ("oneformer-resnet50", "cityscapes", "ade20k", TASKS, 0.5, "masks", "ade20k"),
    ],
)  # fmt: skip
def test_published_datasets_have_their_own_thresholds(
    network, old, new, tasks, threshold, resize, dataset
):
    rules, change = choose_thresholds(weights(old, network=network), known_labels(new), tasks)
    assert (rules.object_threshold, rules.overlap_threshold) == (threshold, 0.8)
    assert (rules.resize, rules.top_k, rules.min_visible) == (resize, 7, 0.0)
    assert change == ThresholdsReplaced(dataset=dataset)


def test_another_task_of_the_same_data_brings_its_own():
    semantic = weights("mapillary_vistas", tasks=("semantic",))
    rules, _ = choose_thresholds(semantic, semantic.labels, ("panoptic",))
    assert rules.object_threshold == 0.0


def test_thresholds_of_published_datasets_are_not_transferred():
    rules, change = choose_thresholds(weights("mapillary_vistas"), CELLS, ("panoptic",))
    assert rules == PostprocessingConfig(top_k=7) and change == ThresholdsReplaced(dataset=None)
    of_family = weights("ade20k", network="maskformer-resnet50")
    assert choose_thresholds(of_family, CELLS, ("panoptic",))[0].uncertain_pixels == "winner"


def test_chosen_thresholds_are_transferred():
    assert choose_thresholds(weights(NUCLEI), CELLS, ("instance",)) == (TUNED, None)


def test_the_threshold_of_instances_is_not_transferred():
    tuned = replace(TUNED, instance_threshold=0.75)
    rules, change = choose_thresholds(weights(NUCLEI, rules=tuned), CELLS, ("instance",))
    assert (rules, change) == (TUNED, None)
    same, _ = choose_thresholds(weights(NUCLEI, rules=tuned), NUCLEI, ("instance",))
    assert same == tuned
