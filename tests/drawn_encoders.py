"""Sign encoders with drawn weights: one whose features tell clips apart, and one that rounds little.

Fresh from its constructor a network's signals fade from layer to layer: its features are small, and hardly
differ from clip to clip, so that equal features say little about what was encoded. Batch normalisation with
the statistics of what it is shown brings them to about 1, but blows up rounding, as it does every difference.
"""

import torch
from torch import Tensor

from cico_model.config import SignEncoderConfig
from cico_model.sign_encoder import SignEncoder, Unit


def settled_encoder(classes: int, config: SignEncoderConfig, clips: Tensor, seed: int = 0) -> SignEncoder:
    """In evaluation mode, after it has seen `clips` [B, 3, 16, S, S]."""
    torch.manual_seed(seed)
    encoder = SignEncoder(classes, config).train()
    units = [part for part in encoder.modules() if isinstance(part, Unit)]
    for unit in units:
        unit.bn.momentum = None  # the statistics are those of all that it sees, without forgetting
    with torch.no_grad():
        encoder(clips)
    for unit in units:
        unit.bn.momentum = 0.01
    return encoder.eval()


def steady_encoder(classes: int, config: SignEncoderConfig, seed: int = 0) -> SignEncoder:
    """In evaluation mode, its batch normalisation a few steps on: folding it changes something."""
    torch.manual_seed(seed)
    encoder = SignEncoder(classes, config).train()
    size = config.frame_size
    with torch.no_grad():
        for _ in range(5):
            encoder(torch.rand(4, 3, 16, size, size) - 0.5)
    return encoder.eval()
