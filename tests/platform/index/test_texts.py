"""A video is compared with the texts of a collection, which follow its clips and grow nobody's memory."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_collections import make_model, points, texts, write_collection

from cico_model.model import RetrievalModel
from cico_model.text_cleaning import clean_text
from cico_platform.encoding.texts import TextQuery, encode_texts
from cico_platform.encoding.video_queries import VideoQuery
from cico_platform.errors import CicoError, InputError
from cico_platform.index import text_search, text_writer
from cico_platform.index.base import VectorIndex, open_index
from cico_platform.index.clips import Filters, IndexedClip
from cico_platform.index.deadlines import time_limit
from cico_platform.index.ranking import Ranking, Stages, score
from cico_platform.index.serving_info import ServingInfo, remove_collection
from cico_platform.index.set_encoding import point_vector, query_vector
from cico_platform.index.text_writer import TextCounts, check_texts, groups_of_parts, update_texts
from cico_platform.index.texts import (
    ANY,
    MOST_VALUES,
    SaidText,
    duration_class,
    open_whole,
    text_filters,
    text_key,
    texts_of,
)
from cico_platform.index.writer import IndexWriter
from cico_platform.pipelines.index_texts import write_texts

DIM, NAME = 16, "clips-1"


@pytest.fixture(params=["embedded", "server"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndex]:
    location = str(tmp_path / "index")
    if request.param == "server":
        location = request.getfixturevalue("server_url")
    with open_index(location) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def model(folder: Path) -> RetrievalModel:
    return make_model(folder, DIM)


class Encoder:
    """The model's texts, and which of them it was asked for."""

    def __init__(self, model: RetrievalModel, most: float = math.inf) -> None:
        self.model, self.most = model, most
        self.asked: list[str] = []

    def __call__(self, said: Sequence[str]) -> list[TextQuery]:
        if len(self.asked) + len(said) > self.most:
            raise KeyboardInterrupt
        self.asked += said
        return encode_texts(self.model, said)


def info(folder: Path, name: str = NAME) -> ServingInfo:
    return ServingInfo(name, DIM, str(folder), (), 1.0, "small")


def drawn(clips: Mapping[str, Mapping[str, Any]], seed: int = 3) -> list[IndexedClip]:
    """Clips with drawn tokens and these payloads."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 6, len(clips))
    return [
        IndexedClip(name, rng.normal(size=(length, DIM)).astype(np.float32), dict(payload))
        for (name, payload), length in zip(clips.items(), lengths, strict=True)
    ]


def fill(index: VectorIndex, folder: Path, clips: Sequence[IndexedClip]) -> None:
    writer = IndexWriter(index, info(folder))
    writer.add(clips)
    writer.flush()


def update_all(index: VectorIndex, groups: Sequence[Sequence[str]], encode: Encoder) -> TextCounts:
    counts = TextCounts()
    for group in groups:
        counts = counts.plus(update_texts(index, NAME, encode, group))
    return counts


def crowd() -> dict[str, dict[str, Any]]:
    """Sixty clips of twelve sentences, three of which half of the clips say, by signers A to D."""
    rng = np.random.default_rng(8)
    said = [clean_text(text) for text in list(texts(12).values())]
    chosen = [*rng.integers(0, 3, 30), *rng.integers(0, 12, 18), *range(12)]
    return {
        f"clip-{i}": {
            "text": said[number].upper() if i % 3 else said[number],
            "path": f"/{i}.mp4",
            "signer": "ABCD"[int(rng.integers(4))],
            "language": ["en", "de"][int(rng.integers(2))],
            "participants": list(rng.choice(["x", "y", "z"], 2, replace=False)),
            "duration": float(rng.uniform(0.5, 9)),
        }
        for i, number in enumerate(chosen)
    }


def passes(payload: Mapping[str, Any], filters: Filters) -> bool:
    for name, values in filters.values().items():
        own = payload.get(name)
        if not set([own] if isinstance(own, str) else own or []) & set(values):
            return False
    least, most = filters.min_duration or 0, filters.max_duration or math.inf
    return least <= payload["duration"] <= most


def exhaustive(
    clips: Sequence[IndexedClip], model: RetrievalModel, video: np.ndarray, filters: Filters
) -> list[tuple[str, str, float]]:
    """Each text that a clip says which passes: its nearest clip and its score, best first."""
    kept: dict[str, list[IndexedClip]] = {}
    for clip in clips:
        if passes(clip.payload, filters):
            kept.setdefault(clean_text(clip.payload["text"]), []).append(clip)
    if not kept:
        return []
    tokens = [query.tokens for query in encode_texts(model, list(kept))]
    scores = score([video], tokens, model.config)[0]
    vector = query_vector(video)
    best = [max(own, key=lambda clip: float(point_vector(clip.tokens) @ vector)) for own in kept.values()]
    rows = zip(kept, (clip.video_id for clip in best), scores.tolist(), strict=True)
    return sorted(rows, key=lambda row: -row[2])


def found(ranking: Ranking, video: np.ndarray, limit: int, filters: Filters | None = None, offset: int = 0):
    ranked = ranking.by_video(VideoQuery(video, 0.0, 1.0), limit, filters, offset)
    return [(clean_text(one.hit.payload["text"]), one.hit.video_id, one.score) for one in ranked]


FILTERS = [
    Filters(),
    Filters(signer="A"),
    Filters(signer=["A", "B"], language="de"),
    Filters(participants="x", min_duration=2.0, max_duration=2.6),
    Filters(min_duration=4.9),
    Filters(signer="D", language="en", participants=["y"], max_duration=5.0),
    Filters(signer="nobody"),
]


def test_videos_find_what_scoring_every_text_would_find(
    index: VectorIndex, model: RetrievalModel, folder: Path
) -> None:
    clips = drawn(crowd())
    fill(index, folder, clips)
    assert write_texts(index, info(folder), model) == TextCounts(texts=12, encoded=12)
    video = np.random.default_rng(1).normal(size=(7, DIM)).astype(np.float32)
    # The second finds few texts by their encodings, the others by those of their clips.
    for stages in (Stages(), Stages(texts=2)):
        ranking = Ranking(index, NAME, model.config, stages)
        for filters in FILTERS:
            expected = exhaustive(clips, model, video, filters)
            rows = found(ranking, video, 20, filters)
            assert [row[:2] for row in rows] == [row[:2] for row in expected], filters
            assert [row[2] for row in rows] == pytest.approx([row[2] for row in expected], abs=2e-3)
            # Pages join up: none repeats, none misses a text.
            pages = [found(ranking, video, 5, filters, offset) for offset in (0, 5, 10, 15)]
            assert [row for page in pages for row in page] == rows


def test_one_text_crowds_out_no_other(
    index: VectorIndex, model: RetrievalModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred clips that are nearer to the video than the clips of the other texts say the same."""
    video = np.random.default_rng(1).normal(size=(4, DIM)).astype(np.float32)
    clips = [
        IndexedClip(f"near-{i}", video + 0.01 * i, {"text": "the boy", "signer": "A"}) for i in range(100)
    ]
    far = drawn({f"far-{i}": {"text": f"book {i}", "signer": "B"} for i in range(5)})
    fill(index, folder, [*clips, *far])
    write_texts(index, info(folder), model)
    ranking = Ranking(index, NAME, model.config)
    rows = found(ranking, video, 10)
    assert {row[0] for row in rows} == {"the boy", *(f"book {i}" for i in range(5))}
    assert {row[0]: row[1] for row in rows}["the boy"] == "near-0"
    only = found(ranking, video, 10, Filters(signer="B"))
    assert {row[1] for row in only} == {f"far-{i}" for i in range(5)}


def test_a_text_is_written_once_however_its_clips_write_it(
    index: VectorIndex, model: RetrievalModel, folder: Path
) -> None:
    said = ["The boy reads", "the BOY&nbsp;reads", "\ufeffthe boy  reads", "?!", "", "a book"]
    fill(
        index, folder, drawn({f"c{i}": {"text": text, "signer": "AB"[i % 2]} for i, text in enumerate(said)})
    )
    assert write_texts(index, info(folder), model).texts == 2
    hits = {hit.payload["text"]: hit for hit in index.fetch(texts_of(NAME), tokens=True)}
    assert set(hits) == {"the boy reads", "a book"}
    boy = hits["the boy reads"]
    assert boy.video_id == text_key("The boy reads")
    assert boy.payload["signer"] == ["A", "B"]
    (query,) = encode_texts(model, ["the boy reads"])
    assert [(word, list(positions)) for word, positions in boy.payload["words"]] == query.words
    np.testing.assert_allclose(boy.tokens, query.tokens, atol=2e-3)
    told = {hit.video_id: hit.payload.get("text_key") for hit in index.fetch(NAME)}
    assert told == {f"c{i}": text_key(text) for i, text in enumerate(said)}
    assert [told["c3"], told["c4"]] == [None, None]


def test_only_texts_whose_clips_changed_are_written_again(
    index: VectorIndex, model: RetrievalModel, folder: Path
) -> None:
    clips = {f"c{i}": {"text": f"book {i // 2}", "signer": "A", "duration": 2.0} for i in range(8)}
    fill(index, folder, drawn(clips))
    encoder = Encoder(model)
    index.create(texts_of(NAME), DIM)
    assert update_texts(index, NAME, encoder) == TextCounts(texts=4, encoded=4)
    assert update_texts(index, NAME, encoder) == TextCounts(texts=4)
    before = {hit.video_id: hit for hit in index.fetch(texts_of(NAME), tokens=True)}

    clips["c0"] |= {"signer": "B"}  # changed
    clips["c2"] |= {"text": "book 9"}  # says something else: book 1 stays with c3
    clips["c8"] = {"text": "book 3", "duration": 7.0}  # added
    fill(index, folder, drawn({name: clips[name] for name in ("c0", "c2", "c8")}))
    index.delete(NAME, ["c4", "c5"])  # nobody says book 2 any more
    encoder.asked.clear()
    # Of book 1 one clip is left, as the other was.
    assert update_texts(index, NAME, encoder) == TextCounts(texts=4, encoded=1, changed=2, deleted=1)
    assert encoder.asked == ["book 9"]
    after = {hit.payload["text"]: hit for hit in index.fetch(texts_of(NAME), tokens=True)}
    assert set(after) == {"book 0", "book 1", "book 3", "book 9"}
    assert after["book 0"].payload["signer"] == ["A", "B"]
    assert after["book 3"].payload["duration"] == [duration_class(2.0), duration_class(7.0)]
    for text in ("book 0", "book 1", "book 3"):
        np.testing.assert_array_equal(after[text].tokens, before[after[text].video_id].tokens)
        assert after[text].payload["words"] == before[after[text].video_id].payload["words"]


def test_a_build_that_was_cut_goes_on_part_by_part(
    index: VectorIndex, model: RetrievalModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_writer, "CLIPS_AT_ONCE", 64)
    monkeypatch.setattr(text_writer, "TEXTS_AT_ONCE", 8)
    monkeypatch.setattr(text_writer, "BATCH", 4)
    monkeypatch.setattr(index, "write_bytes", 1)
    clips = {f"c{i}": {"text": f"book {i}", "signer": "A"} for i in range(200)}
    fill(index, folder, drawn(clips))
    index.create(texts_of(NAME), DIM)
    groups = groups_of_parts(200)
    assert 1 < len(groups) <= 32
    cut = Encoder(model, most=90)
    with pytest.raises(KeyboardInterrupt):
        update_all(index, groups, cut)
    held = index.count(texts_of(NAME))
    assert 0 < held <= len(cut.asked) <= 90
    rest = Encoder(model)
    counts = update_all(index, groups, rest)
    assert (counts.texts, counts.encoded) == (200, 200 - held)
    assert sorted({*cut.asked[:held], *rest.asked}) == sorted(f"book {i}" for i in range(200))
    check_texts(index, NAME, 200)
    with pytest.raises(CicoError, match="holds 200 texts, not 201"):
        check_texts(index, NAME, 201)
    # A whole one is the same.
    assert write_texts(index, info(folder), model) == TextCounts(texts=200)


def test_a_text_that_cannot_be_encoded_is_named_and_the_others_are_there(
    index: VectorIndex, model: RetrievalModel, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def encode(said: Sequence[str]) -> list[TextQuery]:
        if "book 1" in said:
            raise ValueError("text 0 is empty")
        return encode_texts(model, said)

    fill(index, folder, drawn({f"c{i}": {"text": f"book {i}"} for i in range(7)}))
    index.create(texts_of(NAME), DIM)
    assert update_texts(index, NAME, encode) == TextCounts(texts=6, encoded=6, refused=1)
    assert "'book 1': text 0 is empty" in caplog.text
    check_texts(index, NAME, 6)


def test_what_a_text_is_filtered_by_has_a_bound() -> None:
    said = SaidText("the boy")
    for i in range(10_000):
        said.add({"signer": f"signer {i}", "language": "en", "duration": i / 10})
    payload = said.payload()
    assert payload["signer"] == [ANY]
    assert payload["language"] == ["en"]
    assert len(payload["duration"]) < 60
    assert MOST_VALUES < 100
    again = SaidText("the boy")
    for i in reversed(range(10_000)):
        again.add({"signer": f"signer {i}", "language": "en", "duration": i / 10})
    assert again.payload() == payload


def test_a_text_of_more_signers_than_are_listed_is_found_by_each(
    index: VectorIndex, model: RetrievalModel, folder: Path
) -> None:
    clips = {f"c{i}": {"text": "the boy", "signer": f"signer {i}", "duration": 1.0} for i in range(80)}
    clips["other"] = {"text": "a girl", "signer": "signer 3", "duration": 1.0}
    fill(index, folder, drawn(clips))
    write_texts(index, info(folder), model)
    ranking = Ranking(index, NAME, model.config)
    video = np.random.default_rng(1).normal(size=(4, DIM)).astype(np.float32)
    rows = found(ranking, video, 10, Filters(signer="signer 77"))
    assert [row[:2] for row in rows] == [("the boy", "c77")]
    assert {row[1] for row in found(ranking, video, 10, Filters(signer="signer 3"))} == {"c3", "other"}
    assert found(ranking, video, 10, Filters(signer="signer 99")) == []


def test_a_text_passes_whenever_one_of_its_clips_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        seconds, least, most = np.sort(rng.uniform(0, 12, 3))[[1, 0, 2]]
        wide = text_filters(Filters(min_duration=least, max_duration=most))
        assert wide is not None
        assert (wide.min_duration or 0) <= duration_class(seconds) <= (wide.max_duration or 0)
    most_values = text_filters(Filters(signer=[str(i) for i in range(100)]))
    assert most_values is not None
    assert len(most_values.values()["signer"]) == 101
    assert text_filters(None) is None


def test_texts_go_with_their_collection_and_are_held_with_it(model: RetrievalModel, tmp_path: Path) -> None:
    location = str(tmp_path / "index")
    with open_index(location) as index:
        write_collection(index, NAME, tmp_path / "model", make_model(tmp_path / "model", DIM))
        count = index.count(texts_of(NAME))
        assert count == len(set(texts().values()))
    with open_index(location) as reader, open_index(location) as writer:
        assert open_whole(reader, NAME) == len(texts())
        with pytest.raises(CicoError, match="in use by"):
            remove_collection(writer, NAME)
        assert reader.count(texts_of(NAME)) == count
    with open_index(location) as index:
        remove_collection(index, NAME)
        for name in (NAME, texts_of(NAME)):
            with pytest.raises(InputError, match="no collection"):
                index.count(name)


def test_a_collection_without_texts_says_what_to_do(
    index: VectorIndex, model: RetrievalModel, folder: Path
) -> None:
    fill(index, folder, points(model, texts(3)))
    assert open_whole(index, NAME) == 3
    with pytest.raises(CicoError, match=r"no texts to compare a video with; run 'cico index' again"):
        found(Ranking(index, NAME, model.config), np.ones((2, DIM), np.float32), 3)


def test_a_search_that_nobody_waits_for_stops(
    index: VectorIndex, model: RetrievalModel, folder: Path
) -> None:
    fill(index, folder, points(model, texts(3)))
    write_texts(index, info(folder), model)
    ranking = Ranking(index, NAME, model.config)
    with time_limit(0), pytest.raises(CicoError, match="time"):
        found(ranking, np.ones((2, DIM), np.float32), 3)
    assert len(found(ranking, np.ones((2, DIM), np.float32), 3)) == 3


def test_a_page_costs_the_same_however_many_clips_say_its_texts(
    index: VectorIndex, model: RetrievalModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No search fetches the clips of a text, and no query asks for more than a page's worth of clips."""
    clips = {f"c{i}": {"text": f"book {i % 10}", "signer": "AB"[i % 2]} for i in range(400)}
    fill(index, folder, drawn(clips))
    write_texts(index, info(folder), model)
    asked: list[int] = []
    query, fetch = index.query, index.fetch

    def counted_query(collection: str, *args: Any, limit: int, **known: Any) -> Any:
        asked.append(limit if collection == NAME else 0)
        return query(collection, *args, limit=limit, **known)

    def counted_fetch(collection: str, video_ids: Any = None, **known: Any) -> Any:
        assert video_ids is not None
        asked.append(len(video_ids))
        return fetch(collection, video_ids, **known)

    monkeypatch.setattr(index, "query", counted_query)
    monkeypatch.setattr(index, "fetch", counted_fetch)
    video = np.random.default_rng(1).normal(size=(4, DIM)).astype(np.float32)
    for stages in (Stages(), Stages(texts=3)):
        for filters in (None, Filters(signer="A")):
            asked.clear()
            assert len(found(Ranking(index, NAME, model.config, stages), video, 5, filters)) == 5
            assert sum(asked) <= 5 * text_search.CLIPS_EACH * 3 + 2 * text_search.FILTERED_NEIGHBOURS
