"""Sentences about an image and its task."""

from unimask.text.task_sentences import image_sentences


def test_each_object_has_a_sentence_and_the_task_pads_the_rest():
    sentences = image_sentences("panoptic", ["car", "car", "sky"], 5)
    assert sentences == [
        "a photo with a car",
        "a photo with a car",
        "a photo with a sky",
        "a panoptic photo",
        "a panoptic photo",
    ]
    assert image_sentences("instance", [], 1) == ["an instance photo"]
    assert image_sentences("semantic", ["a", "b", "c"], 2) == [
        "a photo with a a",
        "a photo with a b",
    ]
