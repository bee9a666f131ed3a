"""A sign corpus drawn by code: real MP4 files of invented signs, from a seed, without a download."""

from cico_platform.corpus.synthesis.production import synthesize
from cico_platform.corpus.synthesis.screenplay import SynthesisSettings

__all__ = ["SynthesisSettings", "synthesize"]
