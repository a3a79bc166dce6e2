"""Post-processing of trained weights that are trained on other classes or tasks."""

from dataclasses import replace

from unimask.checkpoints import ModelDescription
from unimask.checkpoints.authors.recognition import find_publication_by_task
from unimask.config import PostprocessingConfig
from unimask.label_sets import find_label_set
from unimask.labels import LabelSet, Task
from unimask.presets import family_postprocessing
from unimask.training.plan.facts import ThresholdsReplaced


def choose_thresholds(
    trained: ModelDescription, labels: LabelSet, tasks: tuple[Task, ...]
) -> tuple[PostprocessingConfig, ThresholdsReplaced | None]:
    """Choose the post-processing of trained weights that are trained further.

    Weights keep their thresholds for their own classes and tasks. For others, they take those
    published for these, if any. Else thresholds of a public dataset are replaced by the family's
    defaults, and thresholds of any other origin are unchanged, except that of instances, which was
    tuned to the scores of their own classes. `top_k` is never changed.

    Args:
        trained: Description of the trained weights.
        labels: Label set to train for.
        tasks: Tasks to train for.

    Returns:
        The settings of post-processing, and the change, if any.
    """
    own = trained.postprocessing
    if trained.labels == labels and set(tasks) <= set(trained.tasks):
        return own, None
    published = find_publication_by_task(trained.config, labels.names, tasks)
    if published is not None:
        chosen, dataset = published.postprocessing(trained.config), published.data
    elif find_label_set(trained.labels.names) is not None:
        chosen, dataset = family_postprocessing(trained.config), None
    else:
        return replace(own, instance_threshold=PostprocessingConfig().instance_threshold), None
    chosen = replace(chosen, top_k=own.top_k)
    return chosen, None if chosen == own else ThresholdsReplaced(dataset=dataset)
