"""OneFormer's sentences: one about the task, and those about the content of an image."""

from collections.abc import Sequence

from unimask.labels import Task

START_TOKEN, END_TOKEN = 49406, 49407

TASK_TOKENS: dict[Task, tuple[int, ...]] = {
    "semantic": (518, 10549, 533, 29119, 1550),
    "instance": (518, 10549, 533, 34572),
    "panoptic": (518, 10549, 533, 1072, 24755),
}
"""CLIP's tokens of "the task is ...". The task encoder reads no other sentence, so it needs no
tokenizer.
"""

FILLER_SENTENCES: dict[Task, str] = {
    "semantic": "a semantic photo",
    "instance": "an instance photo",
    "panoptic": "a panoptic photo",
}


def task_tokens(task: Task, length: int) -> list[int]:
    """Return the token ids of "the task is {task}", padded with zeros to `length`."""
    ids = [START_TOKEN, *TASK_TOKENS[task], END_TOKEN]
    return ids + [0] * (length - len(ids))


def image_sentences(task: Task, names: Sequence[str], count: int) -> list[str]:
    """Return the sentences that describe an image, as OneFormer's authors write them.

    Args:
        task: Task to be learned from the image.
        names: Class name of each object, or for semantic segmentation of each class present, in the
            order of the classes.
        count: Number of sentences; the task's opening fills up missing ones, objects beyond it are
            omitted.
    """
    sentences = [f"a photo with a {name}" for name in names[:count]]
    return sentences + [FILLER_SENTENCES[task]] * (count - len(sentences))
