"""What decides on segments once trained weights go on to other classes, or to another task."""

from dataclasses import replace

from unimask.checkpoints import Checkpoint
from unimask.checkpoints.recognition import publication_of_task
from unimask.config import PostprocessingConfig
from unimask.label_sets import recognise
from unimask.labels import LabelSet, Task
from unimask.presets import family_rules


def rules_for(
    checkpoint: Checkpoint, labels: LabelSet, tasks: tuple[Task, ...]
) -> tuple[PostprocessingConfig, str]:
    """Give the thresholds of trained weights that go on to learn.

    They belong to data and task. Weights that go on with their own classes and tasks keep theirs.
    Else they take what was published for the new ones. Where nothing was, those of a public dataset
    stay behind, and the family's usual ones are taken; others were chosen by somebody, and stay.
    `top_k` is the network's, and stays.

    Args:
        checkpoint: The trained weights, with their own classes and tasks.
        labels: Classes to be learned.
        tasks: Tasks to be learned.

    Returns:
        The rules, and words on what changed.
    """
    own = checkpoint.postprocessing
    if checkpoint.labels == labels and set(tasks) <= set(checkpoint.tasks):
        return own, ""
    published = publication_of_task(checkpoint.config, labels.names, tasks)
    if published is not None:
        rules, whose = published.postprocessing(checkpoint.config), f"those of {published.data}"
    elif recognise(checkpoint.labels.names) is not None:
        rules, whose = family_rules(checkpoint.config), "the usual ones"
    else:
        return own, ""
    rules = replace(rules, top_k=own.top_k)
    return rules, "" if rules == own else f", its thresholds are {whose}"
