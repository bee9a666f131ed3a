"""Start both towers from CLIP ViT-B/32, as the paper does: from OpenAI's weights or from transformers'."""

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from cico_model.config import MAX_WINDOWS, TOWERS
from cico_model.model import RetrievalModel
from cico_model.text import ClipTokenizer
from cico_model.tower_import import build_towers
from cico_model.weights import unwrap

log = logging.getLogger(__name__)
FIRST_LAYER, WINDOW_POSITIONS = "visual.conv1.weight", "visual.positional_embedding"
# Of an image's patches, not of a video's windows: these start fresh.
FRESH = (FIRST_LAYER, WINDOW_POSITIONS)
FRESH_SEED = 0
# transformers' names of what is outside of the blocks, and OpenAI's.
OUTSIDE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": FIRST_LAYER,
    "vision_model.embeddings.position_embedding.weight": WINDOW_POSITIONS,
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "visual_projection.weight": "visual.proj",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
    "logit_scale": "logit_scale",
}
# Linear layers there, matrices here.
TRANSPOSED = ("visual_projection.weight", "text_projection.weight")
IN_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
BLOCK = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def is_clip(weights: Mapping[str, Tensor]) -> bool:
    """Whether these are CLIP's own weights: its first layer sees pixels, not sign features."""
    first = weights.get(FIRST_LAYER)
    return "vision_model.embeddings.class_embedding" in weights or (
        first is not None and first.ndim == 4 and first.shape[2] > 1
    )


def import_clip(
    state_dict: Mapping[str, Any], *, feature_dim: int = 1024, max_windows: int = MAX_WINDOWS
) -> RetrievalModel:
    """A retrieval model to be trained, whose towers start from CLIP with a vision transformer.

    The blocks, layer norms, projections, the class embedding, the text embedding and the scale are CLIP's.
    The first layer and the positions of the video tower start fresh, because theirs are made for an image's
    patches, and are the same in each import; of the text tower's positions the first 32 are taken (method 5).

    Parameters
    ----------
    state_dict
        Tensors under OpenAI's names (`visual.transformer...`) or those of transformers' `CLIPModel`
        (`vision_model.encoder...`), of any floating type. All sizes are read off the shapes.
    feature_dim, max_windows
        Width of the sign features, and windows of a video.

    Raises
    ------
    ValueError
        If a key is missing, unknown or of a wrong shape: the key is named.
    """
    weights = unwrap(state_dict)
    if "vision_model.embeddings.class_embedding" in weights:
        weights = openai_names(weights)
    for key in (*FRESH, "visual.class_embedding", "positional_embedding", "logit_scale"):
        if key not in weights:
            raise ValueError(f"these are no weights of CLIP with a vision transformer: '{key}' is missing")
    width = weights["visual.class_embedding"].shape[-1]
    context = TOWERS["paper"].context_length
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FRESH_SEED)
        first_layer = nn.Linear(feature_dim, width, bias=False).weight.detach()
        window_positions = torch.randn(max_windows + 1, width) * width**-0.5
    complete = {
        **weights,
        FIRST_LAYER: first_layer,
        WINDOW_POSITIONS: window_positions,
        "positional_embedding": weights["positional_embedding"][:context],
    }
    towers = build_towers(complete)
    model = RetrievalModel(replace(towers[0].config, mask_padding=True), ClipTokenizer(), towers)
    with torch.no_grad():
        model.logit_scale.copy_(weights["logit_scale"])
        model.clamp_logit_scale()
    log.warning("%s start fresh: those of CLIP see an image's patches", " and ".join(FRESH))
    return model


def openai_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of transformers' `CLIPModel` under OpenAI's names.

    Raises
    ------
    ValueError
        If a key is unknown, or one of query, key and value is missing beside the others.
    """
    renamed: dict[str, Tensor] = {}
    attention: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, value in weights.items():
        match = BLOCK.fullmatch(key)
        if key in OUTSIDE:
            renamed[OUTSIDE[key]] = value.T if key in TRANSPOSED else value
        elif match and match[3] in ATTENTION:
            place = (_block(match), match[4])
            attention.setdefault(place, {})[match[3]] = value
        elif match and match[3] in IN_BLOCK:
            renamed[f"{_block(match)}.{IN_BLOCK[match[3]]}.{match[4]}"] = value
        elif not key.endswith("position_ids"):  # a counter that older versions stored
            raise ValueError(f"'{key}' is no weight of CLIP with a vision transformer")
    for (block, kind), parts in attention.items():
        for name in ATTENTION:
            if name not in parts:
                raise ValueError(f"'{block}' of the checkpoint lacks '{name}.{kind}'")
        renamed[f"{block}.attn.in_proj_{kind}"] = torch.cat([parts[name] for name in ATTENTION])
    return renamed


def _block(match: re.Match[str]) -> str:
    return f"{'visual.' if match[1] == 'vision' else ''}transformer.resblocks.{match[2]}"
