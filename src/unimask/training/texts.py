"""What OneFormer reads about a picture while it trains."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from unimask.config import MaskedDecoderConfig, SegmenterConfig
from unimask.inference.load import find_tokenizer
from unimask.labels import LabelSet, Task
from unimask.outputs import Target
from unimask.text.task_sentences import picture_sentences
from unimask.text.tokenizers import Tokenizer


@dataclass(frozen=True)
class PictureTexts:
    """The sentences of a picture, as tokens.

    Attributes:
        tokenizer: Sentences to ids.
        labels: Names of the classes.
        count: Sentences per picture.
    """

    tokenizer: Tokenizer
    labels: LabelSet
    count: int

    @classmethod
    def of(
        cls, config: SegmenterConfig, tokenizer: Tokenizer | None, labels: LabelSet
    ) -> "PictureTexts | None":
        """Give the texts that a network learns from; None if it reads none."""
        queries = config.transformer_decoder
        if config.text is None or tokenizer is None or not isinstance(queries, MaskedDecoderConfig):
            return None
        count = queries.num_queries - config.text.context
        return cls(tokenizer, labels, count)

    def tokens(self, task: Task, target: Target) -> Int[Tensor, "n t"]:
        """Say what the target shows; its objects stand in the order of their classes."""
        names = [self.labels.names[label] for label in target.labels.tolist()]
        sentences = picture_sentences(task, names, self.count)
        return torch.from_numpy(self.tokenizer.encode(sentences))


AUTO = "auto"
"""The tokenizer that a model brings, else bytes."""


def tokenizer_for(model: str, wanted: str) -> str:
    """Give what `open_tokenizer` opens: that of the model's own folder or repository if it has one.

    Args:
        model: What is trained.
        wanted: "auto", or what somebody chose.
    """
    if wanted != AUTO:
        return wanted
    folder = find_tokenizer(model)
    return "bytes" if folder is None else str(folder.absolute())
