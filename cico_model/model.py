"""The retrieval model: both towers, the learned scale, and how they are trained and asked."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cico_model.config import TowerConfig
from cico_model.loss import distributed_retrieval_loss, pooled_loss
from cico_model.similarity import class_tokens, pooled_similarity, score_matrix
from cico_model.text import TextTokenizer, TokenBatch, Word
from cico_model.towers import TextTower, VideoTower

MAX_LOGIT_SCALE = math.log(100.0)
START_LOGIT_SCALE = math.log(1 / 0.07)


class EncodedText(NamedTuple):
    """Text tokens [B, L, D], valid [B, L] bool, and each text's words with the positions of their tokens."""

    tokens: Tensor
    valid: Tensor
    words: list[list[Word]]


class PairBatch(NamedTuple):
    """A batch of pairs: features [B, T, F] and their mask [B, T], token ids and their mask [B, L].

    `ids_augmented` and `text_valid_augmented` are those of the same texts after augmentation.
    """

    features: Tensor
    valid: Tensor
    ids: Tensor
    text_valid: Tensor
    ids_augmented: Tensor | None = None
    text_valid_augmented: Tensor | None = None


class PairTokens(NamedTuple):
    """A batch of pairs as the towers say it: tokens [B, N, D] and masks [B, N]."""

    video: Tensor
    video_valid: Tensor
    text: Tensor
    text_valid: Tensor
    augmented: Tensor | None = None
    augmented_valid: Tensor | None = None

    def tokens(self) -> list[Tensor]:
        """The tokens without their masks."""
        return [t for t in (self.video, self.text, self.augmented) if t is not None]


class RetrievalModel(nn.Module):
    """Sign videos and texts in one space.

    Calling it gives the loss of a batch, so that DistributedDataParallel may wrap it.

    Parameters
    ----------
    config
        Sizes and comparison; its vocabulary size is set to the tokenizer's where a tower isn't given.
    tokenizer
        Of the texts.
    towers
        Trained towers, from `import_towers`; fresh ones otherwise.
    """

    def __init__(
        self,
        config: TowerConfig,
        tokenizer: TextTokenizer,
        towers: tuple[VideoTower, TextTower] | None = None,
    ) -> None:
        super().__init__()
        if towers is None:
            config = replace(config, vocab_size=tokenizer.vocab_size)
        elif tokenizer.vocab_size > config.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the text tower {config.vocab_size}"
            )
        self.config = config
        self.tokenizer = tokenizer
        self.video, self.text = towers or (VideoTower(config), TextTower(config))
        self.logit_scale = nn.Parameter(torch.tensor(START_LOGIT_SCALE))

    def encode_video(self, features: Tensor, valid: Tensor) -> Tensor:
        """Sign features [B, T, F] and their mask [B, T] to video tokens [B, 1 + T, D]; see `video_mask`."""
        missing = self._missing_windows(features.shape[1])
        padded = functional.pad(features, (0, 0, 0, missing))
        tokens: Tensor = self.video(padded, functional.pad(valid.bool(), (0, missing)))
        return tokens

    def video_mask(self, valid: Tensor) -> Tensor:
        """Mask of windows [B, T] to that of video tokens [B, 1 + T]: the class token is never valid."""
        missing = self._missing_windows(valid.shape[1])
        return functional.pad(valid.bool(), (1, missing), value=False)

    def tokenise(self, texts: Sequence[str]) -> TokenBatch:
        """Token ids of texts, padded as the model needs them."""
        batch = self.tokenizer.encode(texts, self.config.context_length)
        missing = 0 if self.config.mask_padding else self.config.context_length - batch.ids.shape[1]
        return TokenBatch(
            functional.pad(batch.ids, (0, missing)), functional.pad(batch.valid, (0, missing)), batch.words
        )

    def encode_text(self, texts: Sequence[str]) -> EncodedText:
        """Texts to text tokens.

        Raises
        ------
        ValueError
            If a text is empty: its row is named.
        """
        batch = self.tokenise(texts)
        device = self.logit_scale.device
        return EncodedText(self.text(batch.ids.to(device)), batch.valid.to(device), batch.words)

    def forward(
        self,
        features: Tensor,
        valid: Tensor,
        ids: Tensor,
        text_valid: Tensor,
        ids_augmented: Tensor | None = None,
        text_valid_augmented: Tensor | None = None,
    ) -> Tensor:
        """Loss of a batch of pairs, over all workers' batches together.

        Parameters
        ----------
        features, valid
            float [B, T, F] and bool [B, T].
        ids, text_valid
            int64 and bool [B, L], from `tokenise`.
        ids_augmented, text_valid_augmented
            The same for the augmented texts.
        """
        batch = PairBatch(features, valid, ids, text_valid, ids_augmented, text_valid_augmented)
        return self.loss(self.encode_pairs(batch))

    def encode_pairs(self, batch: PairBatch) -> PairTokens:
        """Tokens of a batch of pairs: the half of `forward` that knows each pair by itself."""
        video = self.encode_video(batch.features, batch.valid), self.video_mask(batch.valid)
        augmented, augmented_valid = batch.ids_augmented, batch.text_valid_augmented
        # Pooled tokens have one direction for both, with nothing for augmented text alone: it is the text.
        if self.config.pooling != "fine" and augmented is not None and augmented_valid is not None:
            return PairTokens(*video, self.text(augmented), augmented_valid)
        text = self.text(batch.ids), batch.text_valid
        return PairTokens(*video, *text, None if augmented is None else self.text(augmented), augmented_valid)

    def loss(self, pairs: PairTokens) -> Tensor:
        """Loss of all workers' batches together, as the model's settings have it."""
        if self.config.pooling != "fine":
            masks = self._pooled(pairs.video_valid, pairs.text_valid)
            return pooled_loss(pairs.video, pairs.text, *masks, logit_scale=self.logit_scale)
        return distributed_retrieval_loss(
            pairs.video,
            pairs.text,
            pairs.video_valid,
            pairs.text_valid,
            logit_scale=self.logit_scale,
            text_tokens_augmented=pairs.augmented,
            text_valid_augmented=pairs.augmented_valid,
            weight=self.config.weight,
            design=self.config.design,
            temperature=self.config.temperature,
            mask_padding=self.config.mask_padding,
        )

    @torch.no_grad()
    def scores(
        self, video_tokens: Tensor, text_tokens: Tensor, video_valid: Tensor, text_valid: Tensor
    ) -> Tensor:
        """Score of every video with every text, [Bv, Bt], the higher the better; masks are of tokens."""
        if self.config.pooling != "fine":
            return pooled_similarity(video_tokens, text_tokens, *self._pooled(video_valid, text_valid))
        return score_matrix(
            video_tokens,
            text_tokens,
            video_valid,
            text_valid,
            weight=self.config.weight,
            temperature=self.config.temperature,
            mask_padding=self.config.mask_padding,
        )

    @torch.no_grad()
    def clamp_logit_scale(self) -> None:
        """Keep the scale at 100 or less; to be called after each step of the optimiser."""
        self.logit_scale.clamp_(max=MAX_LOGIT_SCALE)

    def _pooled(self, video_valid: Tensor, text_valid: Tensor) -> tuple[Tensor, Tensor]:
        """Masks of the tokens whose mean is compared, where a side is one vector."""
        mean = self.config.pooling == "mean"
        return (video_valid, text_valid) if mean else class_tokens(video_valid, text_valid)

    def _missing_windows(self, windows: int) -> int:
        # Where padding takes part in the softmax (published checkpoints), all of it must be there.
        if self.config.mask_padding or windows > self.config.max_windows:
            return 0
        return self.config.max_windows - windows
