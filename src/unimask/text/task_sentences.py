"""The sentences of OneFormer: one about the task, and those about what a picture shows."""

from collections.abc import Sequence

from unimask.labels import Task

START, END = 49406, 49407

TASK_WORDS: dict[Task, tuple[int, ...]] = {
    "semantic": (518, 10549, 533, 29119, 1550),
    "instance": (518, 10549, 533, 34572),
    "panoptic": (518, 10549, 533, 1072, 24755),
}
"""CLIP's tokens of "the task is ...": no other sentence reaches the task encoder, so it needs no
tokenizer."""

OPENINGS: dict[Task, str] = {
    "semantic": "a semantic photo",
    "instance": "an instance photo",
    "panoptic": "a panoptic photo",
}


def task_tokens(task: Task, length: int) -> list[int]:
    """Give the token ids of "the task is {task}", filled up with zeros."""
    ids = [START, *TASK_WORDS[task], END]
    return ids + [0] * (length - len(ids))


def picture_sentences(task: Task, names: Sequence[str], count: int) -> list[str]:
    """Say what a picture shows, as OneFormer's authors do.

    Args:
        task: What is asked of the picture.
        names: The class of each of its objects (or, for semantic, of each class in it), in the
            order of the classes.
        count: Sentences wanted; the task's opening fills them up, objects beyond are left out.
    """
    told = [f"a photo with a {name}" for name in names[:count]]
    return told + [OPENINGS[task]] * (count - len(told))
