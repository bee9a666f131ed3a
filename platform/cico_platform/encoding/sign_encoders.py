"""One or two sign encoders, ready to run: frames to sign features of chosen windows."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cico_model.checkpoint import load_sign_encoder
from cico_model.config import SignEncoderConfig
from cico_model.inference import InferenceEncoder, Precision, optimize_for_inference
from cico_model.sign_encoder import SignEncoder, SignOutput
from cico_platform.errors import InputError
from cico_platform.storage import Place, on_this_machine

Frames = NDArray[np.uint8]


class SignEncoders:
    """Sign encoders that take frames of one size; one decode of a video serves all of them.

    Parameters
    ----------
    encoders
        From `load_encoders`.
    """

    def __init__(self, encoders: Sequence[InferenceEncoder]) -> None:
        self.encoders, self.config = list(encoders), encoders[0].config

    def __len__(self) -> int:
        return len(self.encoders)

    def encode(
        self,
        videos: Sequence[Frames],
        starts: Sequence[Sequence[int]],
        known: Sequence[Sequence[SignOutput | None]] | None = None,
    ) -> list[list[SignOutput]]:
        """Outputs by video and encoder; windows of all videos share the encoders' batches.

        Parameters
        ----------
        videos
            Frames uint8 [N, R, R, 3], R being `config.resize`.
        starts
            First frames of each video's windows.
        known
            By video and encoder: an output that is not computed again.
        """
        known = known or [[None] * len(self) for _ in videos]
        results = []
        for number, encoder in enumerate(self.encoders):
            have = [own[number] for own in known]
            wanted = [[] if one else list(chosen) for one, chosen in zip(have, starts, strict=True)]
            computed = encoder.encode(videos, wanted)
            results.append([new if one is None else one for new, one in zip(computed, have, strict=True)])
        return [list(outputs) for outputs in zip(*results, strict=True)]


def load_encoders(
    folders: Sequence[str | Place],
    precision: Precision = "auto",
    calibration: torch.Tensor | None = None,
    *,
    threads: int | None = None,
    device: str = "cpu",
) -> SignEncoders:
    """Load checkpoints and make them fast; see `cico_model.optimize_for_inference`.

    Raises
    ------
    InputError
        As `read_encoders`.
    """
    loaded = [encoder for encoder, _ in _read(folders)]
    _same_size([encoder.config for encoder in loaded])
    return SignEncoders(
        [
            optimize_for_inference(encoder.to(device), precision, calibration, threads=threads)
            for encoder in loaded
        ]
    )


def read_encoders(folders: Sequence[str | Place]) -> tuple[SignEncoderConfig, list[list[str]]]:
    """The size that all these sign encoders share, and the labels of each.

    Raises
    ------
    InputError
        If a folder holds no sign encoder, or they take frames of different sizes.
    """
    loaded = _read(folders)
    return _same_size([encoder.config for encoder, _ in loaded]), [labels for _, labels in loaded]


def _read(folders: Sequence[str | Place]) -> list[tuple[SignEncoder, list[str]]]:
    if not folders:
        raise InputError("no sign encoder was given")
    try:
        return [load_sign_encoder(on_this_machine(folder)) for folder in folders]
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{error}; a sign encoder comes from 'cico train sign-encoder'") from error


def _same_size(configs: Sequence[SignEncoderConfig]) -> SignEncoderConfig:
    if len({(config.resize, config.frame_size, config.feature_dim) for config in configs}) > 1:
        raise InputError(f"the sign encoders differ in size: {', '.join(config.size for config in configs)}")
    return configs[0]
