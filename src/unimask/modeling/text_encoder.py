"""OneFormer's text branch, which is used in training only (Jain et al. 2023, 3.2)."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from unimask.modeling.layers.attention import Attention
from unimask.modeling.layers.mlp import MLP

MAX_LOGIT_SCALE = 100.0
"""Upper bound of the contrastive logit scale, as in CLIP."""


class TextLayer(nn.Module):
    """Causal self-attention and feed-forward part, each on a normalized residual branch.

    Args:
        dim: Number of channels of a token.
        num_heads: Number of heads.
        depth: Number of layers of the encoder, on which the initial weights depend.
    """

    def __init__(self, *, dim: int, num_heads: int, depth: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, num_heads=num_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, 4 * dim)
        self.linear2 = nn.Linear(4 * dim, dim)
        projection_std = dim**-0.5 * (2 * depth) ** -0.5
        nn.init.normal_(self.attn.in_proj_weight, std=dim**-0.5)
        nn.init.normal_(self.attn.out_proj.weight, std=projection_std)
        nn.init.normal_(self.linear1.weight, std=(2 * dim) ** -0.5)
        nn.init.normal_(self.linear2.weight, std=projection_std)

    def forward(self, tokens: Float[Tensor, "b t c"]) -> Float[Tensor, "b t c"]:
        """Attend from each token to those before it, then apply the feed-forward part."""
        count = tokens.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=tokens.device).triu(1)
        normed = self.norm1(tokens)
        tokens = tokens + self.attn(
            normed, normed, normed, blocked=later.expand(len(tokens), -1, -1)
        )
        hidden = self.linear1(self.norm2(tokens))
        return tokens + self.linear2(hidden * torch.sigmoid(1.702 * hidden))


class TextEncoder(nn.Module):
    """CLIP's text encoder: the state at the end token, which has the highest id.

    Args:
        vocabulary: Number of token ids.
        length: Number of tokens per sentence.
        dim: Number of channels.
        layers: Layers of the encoder.
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
        """Compute one vector per sentence."""
        tokens = self.token_embedding(sentences) + self.positional_embedding
        for layer in self.layers:
            tokens = layer(tokens)
        ends = sentences.argmax(-1)
        return self.norm(tokens[torch.arange(len(tokens), device=tokens.device), ends])


class TextMapper(nn.Module):
    """Text queries of each image: its encoded sentences, followed by learned context vectors.

    Args:
        encoder: Encoder of sentences.
        projector: Projection from the encoder's channels to those of the queries.
        context: Number of learned context vectors.
        dim: Number of channels of the queries.
        temperature: Initial temperature of the contrastive loss.
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
        """Compute text queries whose norm per image is the learned logit scale.

        Most sentences of a batch are equal ("a panoptic photo"); each is encoded once.
        """
        texts = self.encode(sentences)
        directions = F.normalize(texts.float().flatten(1), dim=-1)
        scale = self.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
        return (scale * directions).unflatten(-1, texts.shape[1:])

    def encode(self, sentences: Int[Tensor, "b n t"]) -> Float[Tensor, "b q c"]:
        """Compute the vectors of sentences and context before scaling."""
        distinct, index = sentences.flatten(0, 1).unique(dim=0, return_inverse=True)
        vectors = self.projector(self.encoder(distinct))
        vectors = vectors[index.view(sentences.shape[:2])]
        context = self.context.to(vectors.dtype).expand(len(sentences), -1, -1)
        return torch.cat([vectors, context], dim=1)
