"""The text branch of OneFormer, which only training needs (Jain et al. 2023, 3.2)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unimask.modeling.layers.attention import Attention
from unimask.modeling.layers.mlp import MLP

LARGEST_SCALE = 100.0
"""Bound of the contrast's scale, as in CLIP."""


class TextLayer(nn.Module):
    """Causal self-attention and a feed-forward part, normalised before each.

    Args:
        dim: Width of a token.
        num_heads: Heads.
        depth: Layers of the encoder, which the first weights depend on.
    """

    def __init__(self, *, dim: int, num_heads: int, depth: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, 4 * dim)
        self.linear2 = nn.Linear(4 * dim, dim)
        narrow = dim**-0.5 * (2 * depth) ** -0.5
        nn.init.normal_(self.attn.in_proj_weight, std=dim**-0.5)
        nn.init.normal_(self.attn.out_proj.weight, std=narrow)
        nn.init.normal_(self.linear1.weight, std=(2 * dim) ** -0.5)
        nn.init.normal_(self.linear2.weight, std=narrow)

    def forward(self, tokens: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """Mix each token with those before it."""
        count = tokens.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=tokens.device).triu(1)
        normed = self.norm1(tokens)
        tokens = tokens + self.attn(
            normed, normed, normed, blocked=later.expand(len(tokens), -1, -1)
        )
        hidden = self.linear1(self.norm2(tokens))
        return tokens + self.linear2(hidden * torch.sigmoid(1.702 * hidden))


class TextEncoder(nn.Module):
    """Encode sentences: the state at the end token, which has the highest id (CLIP's encoder).

    Args:
        vocabulary: Token ids.
        length: Tokens per sentence.
        dim: Width.
        layers: The encoder's layers.
    """

    def __init__(
        self, *, vocabulary: int, length: int, dim: int, layers: Sequence[TextLayer]
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, dim)
        self.positional_embedding = nn.Parameter(torch.empty(length, dim))
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)

    def forward(self, sentences: Int[Tensor, "n t"]) -> Float[Tensor, "n c"]:
        """Give one vector per sentence."""
        tokens = self.token_embedding(sentences) + self.positional_embedding
        for layer in self.layers:
            tokens = layer(tokens)
        ends = sentences.argmax(-1)
        return self.norm(tokens[torch.arange(len(tokens), device=tokens.device), ends])


class TextMapper(nn.Module):
    """Turn the sentences of each picture into as many vectors as there are queries.

    Args:
        encoder: Encodes a sentence.
        projector: From its width to that of the queries.
        context: Learned vectors that follow those of the sentences.
        dim: Width of the queries.
        temperature: Of the contrast between queries and texts, at the start.
    """

    def __init__(
        self,
        *,
        encoder: TextEncoder,
        projector: MLP,
        context: int,
        dim: int,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector
        self.context = nn.Parameter(torch.randn(context, dim))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def forward(self, sentences: Int[Tensor, "b n t"]) -> Float[Tensor, "b q c"]:
        """Give each picture's vectors, together as long as the contrast's learned scale.

        Most sentences of a batch are the same ("a panoptic photo"): each is encoded once.
        """
        texts = self.encode(sentences)
        directions = F.normalize(texts.float().flatten(1), dim=-1)
        scale = self.logit_scale.exp().clamp(max=LARGEST_SCALE)
        return (scale * directions).unflatten(-1, texts.shape[1:])

    def encode(self, sentences: Int[Tensor, "b n t"]) -> Float[Tensor, "b q c"]:
        """Give the vectors of sentences and context, without scale."""
        different, place = sentences.flatten(0, 1).unique(dim=0, return_inverse=True)
        vectors = self.projector(self.encoder(different))
        vectors = vectors[place.view(sentences.shape[:2])]
        context = self.context.to(vectors.dtype).expand(len(sentences), -1, -1)
        return torch.cat([vectors, context], dim=1)
