"""The sign encoder gives the published outputs, and its fast forms say the same."""

import copy
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_encoders import settled_encoder, steady_encoder

from cico_model.checkpoint import import_sign_encoder, load_sign_encoder, save_sign_encoder
from cico_model.clips import window_starts, windows
from cico_model.config import SIGN_ENCODERS, SignEncoderConfig
from cico_model.engines import torch_engine
from cico_model.inference import InferenceEncoder, fold_batch_norm, optimize_for_inference
from cico_model.precision import supports_bfloat16
from cico_model.sign_encoder import SignEncoder, SignOutput, Unit, max_pool_same, pad_same

MICRO = SignEncoderConfig("micro", 0.125, 32)


def published_value(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The rule by which the golden files' weights are made (see their README)."""
    noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if key.endswith("running_var"):
        value = 0.5 + abs(noise)
    elif key.endswith("running_mean"):
        value = 0.1 * noise
    elif len(shape) <= 1:
        value = 1 + 0.1 * noise if key.endswith("weight") else 0.01 * noise
    else:
        value = noise / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value, dtype=np.float32))


@pytest.fixture(scope="module")
def published_state(golden_dir: Path) -> dict[str, torch.Tensor]:
    shapes = json.loads((golden_dir / "i3d_state_dict.json").read_text())
    return {
        key: torch.tensor(0) if key.endswith("num_batches_tracked") else published_value(key, tuple(shape))
        for key, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def encoder() -> SignEncoder:
    """A small network that tells clips apart; its rounding is blown up (see `drawn_encoders`)."""
    torch.manual_seed(1)
    return settled_encoder(7, MICRO, torch.rand(20, 3, 16, 32, 32) - 0.5)


@pytest.fixture(scope="module")
def steady() -> SignEncoder:
    """One whose rounding is that of the arithmetic; it hardly tells clips apart."""
    return steady_encoder(7, MICRO)


def assert_close(found: SignOutput, expected: SignOutput, bound: float = 1e-3) -> None:
    """Alike to a part of the largest value; two clips' features are some 0.9 of it apart."""
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).abs().max()) <= bound * float(theirs.abs().max())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_weights_give_the_published_outputs(
    golden_dir: Path, published_state: dict[str, torch.Tensor], prefix: str
) -> None:
    golden = np.load(golden_dir / "i3d.npz")
    frames = torch.from_numpy(golden["frames_u8_28"])
    clips = frames.repeat_interleave(8, 2).repeat_interleave(8, 3).permute(0, 4, 1, 2, 3).float() / 255 - 0.5
    encoder = import_sign_encoder({prefix + key: value for key, value in published_state.items()}).eval()
    with torch.inference_mode():
        output = encoder(clips)
    np.testing.assert_allclose(output.logits.numpy(), golden["logits"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(output.embedding.numpy(), golden["embedding"], atol=1e-4, rtol=0)


def test_a_classifier_of_another_size_is_dropped_with_a_message(
    published_state: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    encoder = import_sign_encoder({"state_dict": published_state}, num_classes=9)
    assert encoder.num_classes == 9
    assert "classifier of 50 classes was dropped" in caplog.text
    kept = encoder.state_dict()["Mixed_5c.b0.conv3d.weight"]
    assert torch.equal(kept, published_state["Mixed_5c.b0.conv3d.weight"])


def test_weights_that_are_not_i3d_are_refused(published_state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="not I3D weights"):
        import_sign_encoder({"some.weight": torch.zeros(3)})
    broken = {k: v for k, v in published_state.items() if k != "Mixed_4b.b0.conv3d.weight"}
    with pytest.raises(ValueError, match=r"Mixed_4b\.b0"):
        import_sign_encoder(broken)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(
    ("kernel", "stride"), [((3, 3, 3), (2, 2, 2)), ((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (1, 1, 1))]
)
def test_pooling_in_two_steps_equals_pooling_in_one(
    kernel: tuple[int, int, int], stride: tuple[int, int, int], layout: torch.memory_format
) -> None:
    x = torch.rand(2, 5, 7, 9, 8).to(memory_format=layout)
    expected = torch.nn.functional.max_pool3d(pad_same(x, kernel, stride), kernel, stride)
    assert torch.equal(max_pool_same(x, kernel, stride), expected)


def test_folding_batch_normalisation_is_exact(encoder: SignEncoder) -> None:
    clips = torch.rand(3, 3, 16, 32, 32, dtype=torch.float64) - 0.5
    network = copy.deepcopy(encoder).double()
    with torch.inference_mode():
        expected = network.body(network.stem(clips))
        fold_batch_norm(network)
        folded = network.body(network.stem(clips))
    torch.testing.assert_close(folded, expected, rtol=0, atol=1e-10 * float(expected.abs().max()))


def test_float32_inference_is_exact_and_batches_of_any_size_agree(
    encoder: SignEncoder, steady: SignEncoder
) -> None:
    clips = torch.rand(35, 3, 16, 32, 32) - 0.5
    for network, bound in ((steady, 1e-5), (encoder, 1e-3)):
        fast = optimize_for_inference(network, "float32", threads=1)
        with torch.inference_mode():
            expected = network(clips)
        output = fast(clips)
        assert_close(output, expected, bound)
        assert torch.equal(fast(clips[34:]).embedding, output.embedding[34:])


@pytest.fixture(params=["openvino", "torch", "packed"])
def fast(
    encoder: SignEncoder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> InferenceEncoder:
    """The encoder on each engine, and as a GPU runs it, here on the CPU."""
    if request.param == "packed":
        engine = torch_engine(torch.device("cpu"), bfloat16=False, compiled=False)
        folded = fold_batch_norm(copy.deepcopy(encoder)).requires_grad_(False)
        return InferenceEncoder(folded, engine, 8, packed=True)
    if request.param == "torch":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    return optimize_for_inference(encoder, "float32", threads=1)


def test_windows_of_videos_share_layers_and_come_out_as_each_by_itself(
    encoder: SignEncoder, fast: InferenceEncoder
) -> None:
    rng = np.random.default_rng(0)
    lengths = (57, 16, 40, 3, 90, 20)
    videos = [rng.integers(0, 256, (n, MICRO.resize, MICRO.resize, 3), dtype=np.uint8) for n in lengths]
    starts = [window_starts(n) for n in lengths]
    starts[2] = [24, 3, 3, 0]  # any order, few of many
    starts[4] = starts[4][:3] + starts[4][7:70:2] + starts[4][:1]
    starts[5] = []
    found = fast.encode(videos, starts)
    assert [len(output.embedding) for output in found] == [len(chosen) for chosen in starts]
    for video, chosen, output in zip(videos, starts, found, strict=True):
        if not chosen:
            assert output.logits.shape == (0, 7)
            continue
        clips = torch.cat([windows(video, [start], MICRO) for start in chosen])
        with torch.inference_mode():
            expected = encoder(clips)
        assert_close(output, expected)
    assert torch.equal(fast.encode(videos[4:5], starts[4:5])[0].logits, found[4].logits)


def test_threads_may_share_an_encoder(fast: InferenceEncoder) -> None:
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 256, (48, MICRO.resize, MICRO.resize, 3), dtype=np.uint8) for _ in range(12)]
    starts = window_starts(48)
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda video: fast.encode([video], [starts])[0].embedding, videos))
    for video, embedding in zip(videos, found, strict=True):
        assert torch.equal(embedding, fast.encode([video], [starts])[0].embedding)


@pytest.mark.skipif(not supports_bfloat16(), reason="this CPU has no bfloat16 arithmetic")
def test_bfloat16_keeps_the_direction_of_the_features(steady: SignEncoder) -> None:
    clips = torch.rand(8, 3, 16, 32, 32) - 0.5
    with torch.inference_mode():
        expected = steady(clips).embedding
    found = optimize_for_inference(steady, "bfloat16", threads=1)(clips).embedding
    assert torch.cosine_similarity(found, expected).min() >= 0.9999


def test_bfloat16_as_a_gpu_computes_it_keeps_the_direction(encoder: SignEncoder, steady: SignEncoder) -> None:
    """Weights in bfloat16, but for the classifier: PyTorch does that on any processor, if slowly."""
    engine = torch_engine(torch.device("cpu"), bfloat16=True, compiled=False)
    clips = torch.rand(8, 3, 16, 32, 32) - 0.5
    for network, bound in ((steady, 0.9999), (encoder, 0.9)):
        folded = fold_batch_norm(copy.deepcopy(network)).requires_grad_(False)
        with torch.inference_mode():
            expected = network(clips)
        found = InferenceEncoder(folded, engine, 8, packed=True)(clips)
        assert torch.cosine_similarity(found.embedding, expected.embedding).min() >= bound
        # The classifier's own arithmetic is float32: its scores are those of the features that it was given.
        with torch.inference_mode():
            scores = network.logits(found.embedding[:, :, None, None, None])
        assert_close(SignOutput(found.logits, found.logits), SignOutput(scores, scores), 1e-5)
        assert next(folded.parameters()).dtype == torch.float32  # the network itself is left as it was


def test_a_saved_encoder_comes_back_the_same(encoder: SignEncoder, tmp_path: Path) -> None:
    labels = [f"sign {i}" for i in range(7)]
    save_sign_encoder(tmp_path / "encoder", encoder, labels)
    loaded, found = load_sign_encoder(tmp_path / "encoder")
    assert found == labels
    assert loaded.config == MICRO
    clips = torch.rand(1, 3, 16, 32, 32) - 0.5
    with torch.inference_mode():
        assert torch.equal(loaded(clips).logits, encoder(clips).logits)
    with pytest.raises(ValueError, match="not a checkpoint"):
        load_sign_encoder(tmp_path)


def test_the_sizes_are_the_same_network() -> None:
    paper, tiny = SIGN_ENCODERS["paper"], SIGN_ENCODERS["tiny"]
    assert (paper.feature_dim, paper.resize) == (1024, 256)
    assert (tiny.feature_dim, tiny.resize) == (256, 73)
    assert set(SignEncoder(3, tiny).state_dict()) == set(SignEncoder(3, MICRO).state_dict())


def test_int8_is_calibrated_on_clips_and_keeps_the_direction(steady: SignEncoder) -> None:
    clips = torch.rand(40, 3, 16, 32, 32) - 0.5
    with torch.inference_mode():
        expected = steady(clips).embedding
    found = optimize_for_inference(steady, "int8", clips[:32], threads=1)(clips).embedding
    assert torch.cosine_similarity(found, expected).min() >= 0.995
    assert not torch.equal(found, expected)


def test_int8_without_calibration_clips_is_refused(steady: SignEncoder) -> None:
    with pytest.raises(ValueError, match="calibration clips"):
        optimize_for_inference(steady, "int8")


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_gradients_in_bfloat16_do_not_depend_on_what_was_in_memory(frames: int) -> None:
    torch.manual_seed(0)
    unit, x = Unit(32, 64, 3).train(), torch.randn(8, 32, frames, 4, 4)
    weights = torch.randn(8, 64, frames, 4, 4)

    def gradient(bfloat16: bool) -> torch.Tensor:
        # Memory that is handed out next holds no numbers.
        litter = [torch.full((size,), torch.nan) for size in range(1_000, 400_000, 10_000)]
        del litter
        unit.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            y = unit(x)
        (y.float() * weights).sum().backward()
        assert unit.conv3d.weight.grad is not None
        return unit.conv3d.weight.grad.flatten()

    exact = gradient(bfloat16=False)
    for _ in range(3):
        assert torch.nn.functional.cosine_similarity(gradient(bfloat16=True), exact, dim=0) > 0.99
