"""Texts that describe training images for OneFormer."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from unimask.config import MaskedDecoderConfig, SegmenterConfig
from unimask.inference.load import find_tokenizer
from unimask.labels import LabelSet, Task
from unimask.outputs import Target
from unimask.text.task_sentences import image_sentences
from unimask.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class ImageTexts:
    """Tokenized sentences that describe an image.

    Attributes:
        tokenizer: Tokenizer of the sentences.
        labels: Label set with the class names.
        count: Number of sentences per image.
    """

    tokenizer: Tokenizer
    labels: LabelSet
    count: int

    @classmethod
    def of(
        cls, config: SegmenterConfig, tokenizer: Tokenizer | None, labels: LabelSet
    ) -> "ImageTexts | None":
        """Build the texts of a network, or return None if it has no text branch."""
        queries = config.transformer_decoder
        if config.text is None or tokenizer is None or not isinstance(queries, MaskedDecoderConfig):
            return None
        count = queries.num_queries - config.text.context
        return cls(tokenizer, labels, count)

    def tokens(self, task: Task, target: Target) -> Int[Tensor, "n t"]:
        """Tokenize the sentences that describe a target, with objects in the order of classes."""
        names = [self.labels.names[label] for label in target.labels.tolist()]
        sentences = image_sentences(task, names, self.count)
        return torch.from_numpy(self.tokenizer.encode(sentences))


AUTO = "auto"
"""Setting that selects the model's own tokenizer, else bytes."""


def tokenizer_for(model: str, wanted: str) -> str:
    """Return the tokenizer for `open_tokenizer`; "auto" takes the model's own, else bytes.

    Args:
        model: Model to train.
        wanted: Setting of the tokenizer: "auto", "bytes" or a path.
    """
    if wanted != AUTO:
        return wanted
    folder = find_tokenizer(model)
    return "bytes" if folder is None else str(folder.absolute())
