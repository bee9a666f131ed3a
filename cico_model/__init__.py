"""The CiCo method in PyTorch: sign videos and sentences in one space, and what answers what.

Names are imported when they are first used, but for `similarity`: it is also the name of its module, which
would take its place if it were imported later.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cico_model.similarity import similarity

if TYPE_CHECKING:
    from cico_model.accumulation import two_pass_backward
    from cico_model.alignment import align, word_map, word_spans
    from cico_model.calibration import Calibration, calibrate
    from cico_model.card import CardDetails
    from cico_model.checkpoint import (
        import_sign_encoder,
        load_sign_encoder,
        save_sign_encoder,
    )
    from cico_model.clip_import import import_clip
    from cico_model.clips import select_windows, window_starts
    from cico_model.export import export_model
    from cico_model.inference import optimize_for_inference
    from cico_model.loss import distributed_retrieval_loss, pooled_loss, retrieval_loss
    from cico_model.metrics import retrieval_metrics, retrieval_ranks
    from cico_model.model import PairBatch, RetrievalModel
    from cico_model.optimizer import PublishedAdam
    from cico_model.pseudo_labels import merge_windows
    from cico_model.retrieval_checkpoint import (
        import_retrieval_model,
        load,
        load_retrieval_model,
        save_retrieval_model,
    )
    from cico_model.sign_encoder import SignEncoder
    from cico_model.similarity import pooled_similarity, score_matrix
    from cico_model.text import ClipTokenizer, CorpusTokenizer, load_tokenizer
    from cico_model.text_augmentation import augment_text
    from cico_model.text_cleaning import clean_text, display_text
    from cico_model.tower_import import import_towers
    from cico_model.towers import TextTower, VideoTower
    from cico_model.words import find_words

HOMES = {
    "accumulation": ("two_pass_backward",),
    "alignment": ("align", "word_map", "word_spans"),
    "calibration": ("Calibration", "calibrate"),
    "card": ("CardDetails",),
    "checkpoint": ("import_sign_encoder", "load_sign_encoder", "save_sign_encoder"),
    "clip_import": ("import_clip",),
    "clips": ("select_windows", "window_starts"),
    "export": ("export_model",),
    "inference": ("optimize_for_inference",),
    "loss": ("distributed_retrieval_loss", "pooled_loss", "retrieval_loss"),
    "metrics": ("retrieval_metrics", "retrieval_ranks"),
    "model": ("PairBatch", "RetrievalModel"),
    "optimizer": ("PublishedAdam",),
    "pseudo_labels": ("merge_windows",),
    "retrieval_checkpoint": (
        "import_retrieval_model",
        "load",
        "load_retrieval_model",
        "save_retrieval_model",
    ),
    "sign_encoder": ("SignEncoder",),
    "similarity": ("pooled_similarity", "score_matrix"),
    "text": ("ClipTokenizer", "CorpusTokenizer", "load_tokenizer"),
    "text_augmentation": ("augment_text",),
    "text_cleaning": ("clean_text", "display_text"),
    "tower_import": ("import_towers",),
    "towers": ("TextTower", "VideoTower"),
    "words": ("find_words",),
}

__all__ = [
    "Calibration",
    "CardDetails",
    "ClipTokenizer",
    "CorpusTokenizer",
    "PairBatch",
    "PublishedAdam",
    "RetrievalModel",
    "SignEncoder",
    "TextTower",
    "VideoTower",
    "align",
    "augment_text",
    "calibrate",
    "clean_text",
    "display_text",
    "distributed_retrieval_loss",
    "export_model",
    "find_words",
    "import_clip",
    "import_retrieval_model",
    "import_sign_encoder",
    "import_towers",
    "load",
    "load_retrieval_model",
    "load_sign_encoder",
    "load_tokenizer",
    "merge_windows",
    "optimize_for_inference",
    "pooled_loss",
    "pooled_similarity",
    "retrieval_loss",
    "retrieval_metrics",
    "retrieval_ranks",
    "save_retrieval_model",
    "save_sign_encoder",
    "score_matrix",
    "select_windows",
    "similarity",
    "two_pass_backward",
    "window_starts",
    "word_map",
    "word_spans",
]


def __getattr__(name: str) -> Any:
    for module, names in HOMES.items():
        if name in names:
            value = getattr(import_module(f"cico_model.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'cico_model' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
