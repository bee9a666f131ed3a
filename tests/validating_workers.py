"""A worker of a validation, in a process of its own; it imports no more than it needs."""

import json
import pickle
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist

from cico_platform.training import shared_scoring
from cico_platform.training.data.window_loader import WindowLoader
from cico_platform.training.precision import Precision
from cico_platform.training.session import Session
from cico_platform.training.tasks import sign_encoder as sign_encoder_task
from cico_platform.training.tasks.retrieval import RetrievalTask
from cico_platform.training.tasks.sign_encoder import SignEncoderTask
from cico_platform.training.workers import Worker

# Fewer rows a chunk than in earnest, so that a few clips are several chunks.
ROWS = 5


def judge(rank: int, count: int, runs: Path, out: Path) -> None:
    """Validate both tasks as one of several workers; write what they gave, and how much was encoded here."""
    torch.set_num_threads(1)
    if count > 1:
        dist.init_process_group("gloo", init_method=f"file://{out}/rendezvous", rank=rank, world_size=count)
    worker = Worker(rank, count, torch.device("cpu"))
    retrieval_run, encoder_run = pickle.loads(runs.read_bytes())
    retrieval = RetrievalTask(retrieval_run, Session(worker))
    encoder = SignEncoderTask(encoder_run, Session(worker))
    # Statistics that differ from worker to worker, as a step of training leaves them.
    for buffer in encoder.model.buffers():
        if buffer.is_floating_point():
            buffer.add_(0.05 * rank)
    assert retrieval.validation is not None
    one_chunk = shared_scoring.score_on_workers(retrieval.model, retrieval.validation, worker)
    with (
        mock.patch.object(shared_scoring, "ENCODE_BATCH", ROWS),
        mock.patch.object(sign_encoder_task, "EVALUATION_BATCH", ROWS),
        mock.patch.object(shared_scoring, "encode_videos", wraps=shared_scoring.encode_videos) as encode,
        mock.patch.object(WindowLoader, "_start", autospec=True, side_effect=WindowLoader._start) as load,
    ):
        scores = shared_scoring.score_on_workers(retrieval.model, retrieval.validation, worker)
        found = {
            "videos": sum(len(call.args[2]) for call in encode.call_args_list),
            "retrieval": retrieval.validate(Precision(worker.device, None)),
            "encoder": encoder.validate(Precision(worker.device, None)),
            "windows": sum(len(call.args[1]) for call in load.call_args_list),
        }
    (out / f"{rank}.json").write_text(json.dumps(found))
    for name, matrix in (("scores", scores), ("one_chunk", one_chunk)):
        assert (matrix is None) == (rank > 0)
        if matrix is not None:
            np.save(out / f"{name}.npy", matrix.numpy())
    if count > 1:
        dist.destroy_process_group()
