"""A sign encoder with drawn weights whose features tell clips apart, as a trained one's do.

Fresh from its constructor a network's signals fade from layer to layer: its features are some 1e-6, whatever
it sees, and any two of them are equal to five decimals. Batch normalisation with the statistics of what it is
shown here brings them to about 1.
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
