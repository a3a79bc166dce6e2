"""Post-processing rules of trained weights that are trained on other classes or tasks."""

from dataclasses import replace

from unimask.checkpoints import Checkpoint
from unimask.checkpoints.authors.recognition import find_publication_by_task
from unimask.config import PostprocessingConfig
from unimask.label_sets import find_label_set
from unimask.labels import LabelSet, Task
from unimask.presets import family_postprocessing


def rules_for(
    checkpoint: Checkpoint, labels: LabelSet, tasks: tuple[Task, ...]
) -> tuple[PostprocessingConfig, str]:
    """Choose the post-processing rules for trained weights that are trained further.

    Weights keep their rules for their own classes and tasks. For others, they take the rules
    published for these, if any. Else rules of a public dataset are replaced by the family's
    defaults, and rules of any other origin are kept. `top_k` is never changed.

    Args:
        checkpoint: Trained weights with their own classes and tasks.
        labels: Label set to train for.
        tasks: Tasks to train for.

    Returns:
        The rules, and a description of the change.
    """
    own = checkpoint.description.postprocessing
    if checkpoint.description.labels == labels and set(tasks) <= set(checkpoint.description.tasks):
        return own, ""
    published = find_publication_by_task(checkpoint.description.config, labels.names, tasks)
    if published is not None:
        rules, whose = (
            published.postprocessing(checkpoint.description.config),
            f"those of {published.data}",
        )
    elif find_label_set(checkpoint.description.labels.names) is not None:
        rules, whose = family_postprocessing(checkpoint.description.config), "the usual ones"
    else:
        return own, ""
    rules = replace(rules, top_k=own.top_k)
    return rules, "" if rules == own else f", its thresholds are {whose}"
