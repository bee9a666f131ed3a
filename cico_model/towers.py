"""The two towers: sign features to video tokens, token ids to text tokens (paper, section 3.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cico_model.checks import check_tokens, checks_values
from cico_model.config import TowerConfig


class Block(nn.Module):
    """A pre-LayerNorm transformer block as CLIP has it: attention, then an MLP with QuickGELU."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"a width of {width} can't be shared by {heads} heads")
        self.heads = heads
        self.dropout = dropout
        self.ln_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 4 * width)
        self.proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor, keys: Tensor | None, causal: bool) -> Tensor:
        """Tokens [B, N, W] to tokens; `keys`, bool [B, 1, 1, N], says which may be attended to."""
        batch, length, width = x.shape
        qkv = self.qkv(self.ln_1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=keys, is_causal=causal)
        x = x + self._drop(self.out(attended.transpose(1, 2).reshape(batch, length, width)))
        hidden = self.fc(self.ln_2(x))
        return x + self._drop(self.proj(hidden * torch.sigmoid(1.702 * hidden)))

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training) if self.dropout else x


class VideoTower(nn.Module):
    """Sign features of a video's windows to as many video tokens, and a class token before them."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.video_width
        self.input = nn.Linear(config.feature_dim, width, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty(config.max_windows + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            Block(width, config.video_heads, config.dropout) for _ in range(config.video_layers)
        )
        self.ln_post = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.empty(width, config.embed_dim))
        self.mix = (
            nn.Linear(2 * config.max_windows, config.max_windows, bias=False) if config.streams == 2 else None
        )
        for parameter in (self.class_embedding, self.positions, self.projection):
            nn.init.normal_(parameter, std=width**-0.5)
        initialise_blocks(self.blocks, width)

    @torch.no_grad()
    def standardise_input(self, mean: Tensor, deviation: Tensor) -> None:
        """Start a fresh tower as if its features came with mean 0 and deviation 1.

        Sign features are means of ReLUs: all positive, and alike in most of what they hold. The first layer
        takes the deviation in, the positions the mean; the network's form stays as published.

        Parameters
        ----------
        mean, deviation
            float [F] of the training features.
        """
        self.input.weight.div_(deviation.clamp_min(1e-6))
        self.positions[1:] -= self.input.weight @ mean

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encode the windows of a batch of videos.

        Parameters
        ----------
        features
            float [B, T, F], T at most `config.max_windows`.
        valid
            bool [B, T]: which windows are there; the rest is padding, which no token attends to.
            A tower of two streams also takes both interleaved in time, [B, 2 * max_windows, F], with a mask
            [B, max_windows] (variant `cat` of method 4).

        Returns
        -------
        Tensor
            [B, 1 + T, D]; token 0 is the class token, which no token attends to either (method 5).

        Raises
        ------
        ValueError
            If the shapes don't fit, a video has no valid window, or a valid feature is not finite.
        """
        if features.ndim != 3 or features.shape[2] != self.config.feature_dim:
            wanted = f"[B, T, {self.config.feature_dim}]"
            raise ValueError(f"the video tower takes features {wanted}, not {tuple(features.shape)}")
        limit = self.config.max_windows
        both = self.mix is not None and features.shape[1] == 2 * limit
        if features.shape[1] > limit and not both:
            raise ValueError(f"a video has {features.shape[1]} windows, the tower takes {limit}")
        valid = valid.bool()
        present = valid.repeat_interleave(2, dim=1) if both else valid
        check_tokens("video features", features, present)
        return self.encode(features, valid)

    def encode(self, features: Tensor, valid: Tensor) -> Tensor:
        """`forward` of what has been checked: no branch but on shapes, so that it can be made a graph."""
        both = features.shape[1] != valid.shape[1]
        present = valid.repeat_interleave(2, dim=1) if both else valid
        # Padding may hold anything, but what overflows would spread even from behind a mask, as 0 * NaN.
        broken = ~present & ~torch.isfinite(features.detach().float().square().sum(dim=-1))
        x = self.input(features.masked_fill(broken.unsqueeze(-1), 0.0))
        if both and self.mix is not None:
            x = self.mix(x.transpose(1, 2)).transpose(1, 2)
        x = torch.cat([self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        x = self.ln_pre(x + self.positions[: x.shape[1]])
        keys = functional.pad(valid, (1, 0), value=False)[:, None, None, :]
        for block in self.blocks:
            x = block(x, keys, causal=False)
        return torch.matmul(self.ln_post(x), self.projection)


class TextTower(nn.Module):
    """Token ids of a text to one text token each; a token sees those before it only."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.text_width
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Parameter(torch.empty(config.context_length, width))
        self.blocks = nn.ModuleList(
            Block(width, config.text_heads, config.dropout) for _ in range(config.text_layers)
        )
        self.ln_final = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.empty(width, config.embed_dim))
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        nn.init.normal_(self.projection, std=width**-0.5)
        initialise_blocks(self.blocks, width)

    def forward(self, token_ids: Tensor) -> Tensor:
        """int64 [B, L] token ids to [B, L, D] text tokens, L at most `config.context_length`.

        Raises
        ------
        ValueError
            If the shape is another, a text is too long, or an id is not in the vocabulary.
        """
        if token_ids.ndim != 2 or token_ids.shape[1] > self.config.context_length:
            wanted = f"[B, L <= {self.config.context_length}]"
            raise ValueError(f"the text tower takes token ids {wanted}, not {tuple(token_ids.shape)}")
        if (
            checks_values()
            and token_ids.numel()
            and not 0 <= int(token_ids.min()) <= int(token_ids.max()) < self.config.vocab_size
        ):
            raise ValueError(f"a token id is outside of the vocabulary of {self.config.vocab_size}")
        return self.encode(token_ids)

    def encode(self, token_ids: Tensor) -> Tensor:
        """`forward` of what has been checked."""
        x = self.token_embedding(token_ids) + self.positions[: token_ids.shape[1]]
        for block in self.blocks:
            x = block(x, None, causal=True)
        return torch.matmul(self.ln_final(x), self.projection)


def initialise_blocks(blocks: nn.ModuleList, width: int) -> None:
    """Start transformer blocks as CLIP does: the deeper the tower, the smaller what a block adds."""
    residual = width**-0.5 * (2 * len(blocks)) ** -0.5
    for block in blocks:
        assert isinstance(block, Block)
        for layer, std in (
            (block.qkv, width**-0.5),
            (block.out, residual),
            (block.fc, (2 * width) ** -0.5),
            (block.proj, residual),
        ):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
