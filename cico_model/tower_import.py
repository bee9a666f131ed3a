"""Read published retrieval checkpoints: the names of their weights, and the sizes that their shapes tell."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cico_model.config import TowerConfig
from cico_model.towers import TextTower, VideoTower
from cico_model.weights import check_weights, unwrap

HEAD_WIDTH = 64  # of every CLIP tower
# Parts of a block: published name, our name.
BLOCK_PARTS = {
    "attn.in_proj_weight": "qkv.weight",
    "attn.in_proj_bias": "qkv.bias",
    "attn.out_proj.weight": "out.weight",
    "attn.out_proj.bias": "out.bias",
    "ln_1.weight": "ln_1.weight",
    "ln_1.bias": "ln_1.bias",
    "ln_2.weight": "ln_2.weight",
    "ln_2.bias": "ln_2.bias",
    "mlp.c_fc.weight": "fc.weight",
    "mlp.c_fc.bias": "fc.bias",
    "mlp.c_proj.weight": "proj.weight",
    "mlp.c_proj.bias": "proj.bias",
}
VIDEO_PARTS = {
    "visual.conv1.weight": "input.weight",
    "visual.conv2_trans.weight": "mix.weight",
    "visual.class_embedding": "class_embedding",
    "visual.positional_embedding": "positions",
    "visual.ln_pre.weight": "ln_pre.weight",
    "visual.ln_pre.bias": "ln_pre.bias",
    "visual.ln_post.weight": "ln_post.weight",
    "visual.ln_post.bias": "ln_post.bias",
    "visual.proj": "projection",
}
TEXT_PARTS = {
    "token_embedding.weight": "token_embedding.weight",
    "positional_embedding": "positions",
    "ln_final.weight": "ln_final.weight",
    "ln_final.bias": "ln_final.bias",
    "text_projection": "projection",
}
# Weights of a checkpoint that are no part of a tower, or left over from what it was trained from.
NOT_TOWERS = {
    "logit_scale",
    "logit_scale_first_softmax",
    "logit_scale_sec_softmax",
    "input_resolution",
    "context_length",
    "vocab_size",
}
BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)")


def import_towers(state_dict: Mapping[str, Any]) -> tuple[VideoTower, TextTower]:
    """Both towers of a published checkpoint, in evaluation mode.

    Parameters
    ----------
    state_dict
        Tensors under the published names, with or without `module.` and `clip.` before them, or a checkpoint
        that holds them as `state_dict` or `model_state_dict`. All sizes are read off the shapes; a head is 64
        wide, as in all of CLIP.

    Raises
    ------
    ValueError
        If a key is missing, unknown or of a wrong shape: the key is named, and nothing is loaded.
    """
    return build_towers(unwrap(state_dict))


def import_logit_scale(state_dict: Mapping[str, Any]) -> float:
    """The learned scale of a published checkpoint, as the logarithm that `retrieval_loss` takes."""
    weights = unwrap(state_dict)
    if "logit_scale" not in weights:
        raise ValueError("the checkpoint has no 'logit_scale'")
    return float(weights["logit_scale"])


def build_towers(weights: Mapping[str, Tensor]) -> tuple[VideoTower, TextTower]:
    """Towers from tensors by published name; every key must have its place and every place its key."""
    video: dict[str, Tensor] = {}
    text: dict[str, Tensor] = {}
    origin: dict[tuple[bool, str], str] = {}
    for key, value in weights.items():
        if key in NOT_TOWERS:
            continue
        match = BLOCK.fullmatch(key)
        if match and match[3] in BLOCK_PARTS:
            is_video, name = bool(match[1]), f"blocks.{int(match[2])}.{BLOCK_PARTS[match[3]]}"
        elif key in VIDEO_PARTS:
            is_video, name = True, VIDEO_PARTS[key]
        elif key in TEXT_PARTS:
            is_video, name = False, TEXT_PARTS[key]
        else:
            raise ValueError(f"'{key}' is no weight of a published retrieval checkpoint")
        convolution = value.ndim == 4 and value.shape[2:] == (1, 1)
        (video if is_video else text)[name] = value[:, :, 0, 0] if convolution else value
        origin[is_video, name] = key
    config = read_sizes(video, text)
    towers = (VideoTower(config), TextTower(config))
    for tower, found in zip(towers, (video, text), strict=True):
        is_video = found is video
        wanted = tower.state_dict()
        names = {name: published_name(is_video, name) for name in wanted}
        check_weights(wanted, found, names | {n: k for (v, n), k in origin.items() if v == is_video})
    for tower, found in zip(towers, (video, text), strict=True):
        tower.load_state_dict({name: value.float() for name, value in found.items()})
    return towers[0].eval(), towers[1].eval()


def published_name(video: bool, name: str) -> str:
    """The published name of one of our weights, for messages."""
    parts = {ours: theirs for theirs, ours in (VIDEO_PARTS if video else TEXT_PARTS).items()}
    blocks = {ours: theirs for theirs, ours in BLOCK_PARTS.items()}
    if not name.startswith("blocks."):
        return parts[name]
    _, number, part = name.split(".", 2)
    return f"{'visual.' if video else ''}transformer.resblocks.{number}.{blocks[part]}"


def read_sizes(video: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> TowerConfig:
    """The towers' sizes, from the shapes of their weights."""

    def shape(found: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
        key = published_name(found is video, name)
        if name not in found:
            raise ValueError(f"the checkpoint has no '{key}'")
        if found[name].ndim != dimensions:
            raise ValueError(f"'{key}' has shape {tuple(found[name].shape)}: not that of a published one")
        return found[name].shape

    def layers(found: Mapping[str, Tensor]) -> int:
        return 1 + max((int(name.split(".")[1]) for name in found if name.startswith("blocks.")), default=-1)

    width, feature_dim = shape(video, "input.weight", 2)
    vocab_size, text_width = shape(text, "token_embedding.weight", 2)
    return replace(
        TowerConfig(mask_padding=False),
        feature_dim=feature_dim,
        embed_dim=shape(video, "projection", 2)[1],
        video_width=width,
        video_layers=layers(video),
        video_heads=max(1, width // HEAD_WIDTH),
        max_windows=shape(video, "positions", 2)[0] - 1,
        text_width=text_width,
        text_layers=layers(text),
        text_heads=max(1, text_width // HEAD_WIDTH),
        vocab_size=vocab_size,
        context_length=shape(text, "positions", 2)[0],
        streams=2 if "mix.weight" in video else 1,
    )
