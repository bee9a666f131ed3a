"""Checkpoints that the demo does not train: copied into its work folder, so that all it uses is there."""

import shutil
from pathlib import Path

from cico_platform.encoding.sign_encoders import read_encoders
from cico_platform.steps import STEP_FILE, Summary, content_key, fingerprint, run_step
from cico_platform.storage import Place


def take_encoder(checkpoint: Path, out: Path) -> Summary:
    """Copy a sign encoder.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    read_encoders([checkpoint])
    return take_shipped(checkpoint, out)


def take_shipped(checkpoint: Path, out: Path) -> Summary:
    """Copy a checkpoint; one that is there already is left as it is."""

    def body(folder: Place) -> Summary:
        shutil.copytree(checkpoint, str(folder), dirs_exist_ok=True, ignore=shutil.ignore_patterns(STEP_FILE))
        return Summary(done=1)

    return run_step(out, "copy-checkpoint", content_key(copy_of=fingerprint(checkpoint)), body)
