"""ELAN documents: sentences only, each on the video that shows its signer, at its time, in its language."""

import shutil
from pathlib import Path

import pytest
from elan_files import document, tier
from sample_videos import signing, write

from cico_platform.corpus.manifest import Clip, Corpus
from cico_platform.corpus.read import ReadSettings, read_corpus
from cico_platform.corpus.readers import elan
from cico_platform.corpus.readers.rows import Rows
from cico_platform.corpus.splits import assign_splits
from cico_platform.errors import InputError

HELLO, BYE = (200, 1000, "Hello there."), (1200, 1800, "Good bye.")
DGS_MEDIA = [f"https://x/videos/1413703_{view}.mp4" for view in ("1c", "1a1", "1b1")]
TEXT, MOUTH = "L_text__finer_granularity", "L_text__mouth__standard_orthography__coarser_granularity"


def read(folder: Path, content: str, videos: tuple[str, ...] = (), **choice: tuple[str, ...]) -> Rows:
    for name in videos:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "talk.eaf").write_text(content, encoding="utf-8")
    return elan.read(folder, None, elan.Choice(**choice))


def shown(rows: Rows) -> list[tuple[str, str, str | None]]:
    return [(row.text, row.file, row.signer) for row in rows.good]


def dgs() -> str:
    """Two signers with a camera each, and one of both, as the Public DGS Corpus has them."""
    tiers = []
    for letter, who in (("A", "ber-12"), ("B", "ber-13")):
        tiers += [
            tier(f"Deutsche_Übersetzung_{letter}", [(200, 1000, f"Satz von {letter}.")], who, TEXT),
            tier(f"Lexem_Gebärde_r_{letter}", [(200, 400, "ZEIT5A*")], who, "L_tokens_right_left"),
            tier(f"Sign_r_{letter}", [(200, 400, "TIME5A^*")], who, "L_dependent_values"),
            tier(f"Mundbild_Mundgestik_{letter}", [(200, 400, "zeit")], who, MOUTH),
            tier(f"Translation_into_English_{letter}", [(200, 1000, f"Sentence of {letter}.")], who, TEXT),
        ]
    return document(tiers, DGS_MEDIA)


def test_dgs_sentences_are_on_their_signers_videos_in_two_languages(tmp_path: Path) -> None:
    rows = read(tmp_path, dgs(), tuple(f"1413703_{view}.mp4" for view in ("1c", "1a1", "1b1")))
    assert [(row.text, row.file, row.signer, row.language, row.participants) for row in rows.good] == [
        ("Satz von A.", "1413703_1a1.mp4", "ber-12", "de", ("ber-12",)),
        ("Sentence of A.", "1413703_1a1.mp4", "ber-12", "en", ("ber-12",)),
        ("Satz von B.", "1413703_1b1.mp4", "ber-13", "de", ("ber-13",)),
        ("Sentence of B.", "1413703_1b1.mp4", "ber-13", "en", ("ber-13",)),
    ]
    assert not rows.bad
    assert dict(rows.tiers) == {
        f"{name}_{letter}": 1
        for letter in "AB"
        for name in ("Deutsche_Übersetzung", "Translation_into_English")
    }


def test_a_signer_whose_video_is_not_there_is_taken_from_the_view_of_both(tmp_path: Path) -> None:
    rows = read(tmp_path, dgs(), ("1413703_1c.mp4", "1413703_1a1.mp4"))
    assert {(row.file, row.participants) for row in rows.good if row.signer == "ber-13"} == {
        ("1413703_1c.mp4", ("ber-12", "ber-13"))
    }
    assert {row.file for row in rows.good if row.signer == "ber-12"} == {"1413703_1a1.mp4"}


def test_a_signer_without_any_video_is_never_given_the_other_ones(tmp_path: Path) -> None:
    rows = read(tmp_path, dgs(), ("1413703_1a1.mp4",))
    assert {row.signer for row in rows.good} == {"ber-12"}
    assert [bad.reason for bad in rows.bad] == ["the video '1413703_1b1.mp4' does not exist"] * 2


def test_corpus_ngt(tmp_path: Path) -> None:
    media = [f"file:///C:/CNGT/CNGT0018_{who}_{view}.mpg" for who in ("S005", "S006") for view in "fb"]
    tiers = []
    for number, who in (("S1", "S005"), ("S2", "S006")):
        tiers += [
            tier(f"GlossR {number}", [(200, 400, "HUIS")], who),
            tier(f"MouthType {number}", [(200, 400, "M")], who),
            tier(f"TranslationNarrow {number}", [(200, 1000, f"Zin van {who}.")], who),
        ]
    videos = tuple(f"CNGT0018_{who}_{view}.mp4" for who in ("S005", "S006") for view in "fb")
    rows = read(tmp_path, document(tiers, media), videos)
    assert shown(rows) == [
        ("Zin van S005.", "CNGT0018_S005_b.mp4", "S005"),
        ("Zin van S006.", "CNGT0018_S006_b.mp4", "S006"),
    ]


def test_bsl_corpus(tmp_path: Path) -> None:
    tiers = [
        tier("RH-IDgloss", [(200, 400, "HOUSE")]),
        tier("LH-IDgloss", [(200, 400, "HOUSE")]),
        tier("RH-Meaning", [(200, 400, "house")]),
        tier("Free Translation", [HELLO, BYE]),
        tier("Literal Translation", [(200, 1000, "house hello")]),
        tier("Comments", [(200, 1000, "check this translation")]),
    ]
    rows = read(tmp_path, document(tiers, ["../video/BM20F.mov"]), ("BM20F.mov",))
    assert shown(rows) == [("Hello there.", "BM20F.mov", None), ("Good bye.", "BM20F.mov", None)]
    assert dict(rows.tiers) == {"Free Translation": 2}


@pytest.mark.parametrize(
    ("name", "kind", "is_sentence"),
    [
        ("Translation", "", True), ("FreeTransl", "", True), ("Sentence-EN", "", True),
        ("Übersetzung", "", True),
        ("översättning S1", "", True), ("Traduction", "", True), ("vertaling_A", "", True),
        ("text", "", True),
        ("Untertitel", "", True), ("A", "sentence", True), ("SignTranslation", "", True),
        ("Context", "", False), ("Kontext_Satz", "", False), ("Gloss translation", "", False),
        ("mouthing text", "", False), ("Mundbild", "text", False), ("A", "gloss", False), ("RH", "", False),
        ("Lexeme_Sign_r_A", "", False), ("Comments on text", "", False), ("handshape", "", False),
    ],
)  # fmt: skip
def test_names_tell_which_tiers_hold_sentences(
    tmp_path: Path, name: str, kind: str, is_sentence: bool
) -> None:
    rows = read(tmp_path, document([tier(name, [HELLO], kind=kind or "default-lt")], ["a.mp4"]), ("a.mp4",))
    if is_sentence:
        assert [row.text for row in rows.good] == ["Hello there."]
        assert not rows.notes
    else:
        assert not rows.good
        assert "choose one with --tier" in rows.bad[0].reason


def test_tiers_of_unknown_names_are_taken_and_told(tmp_path: Path) -> None:
    tiers = [tier("default", [HELLO, BYE]), tier("gloss", [(200, 300, "X")])]
    rows = read(tmp_path, document(tiers, ["a.mp4"]), ("a.mp4",))
    assert [row.text for row in rows.good] == ["Hello there.", "Good bye."]
    (note,) = rows.notes.items()
    assert note == ("ELAN: no tier's name says that it holds sentences: all that could were taken", 2)


def test_tiers_and_media_can_be_chosen(tmp_path: Path) -> None:
    videos = ("1413703_1c.mp4", "1413703_1a1.mp4", "1413703_1b1.mp4")
    rows = read(tmp_path, dgs(), videos, tiers=("translation_into_*",))
    assert [row.text for row in rows.good] == ["Sentence of A.", "Sentence of B."]
    rows = read(tmp_path, dgs(), videos, tiers=("Mundbild_Mundgestik_A",))
    assert [row.text for row in rows.good] == ["zeit"]
    rows = read(tmp_path, dgs(), videos, tiers=("Nothing",))
    assert [bad.reason for bad in rows.bad] == ["the document has no tier of the names that were asked for"]
    rows = read(tmp_path, dgs(), videos, media=("*_1c.mp4",))
    assert {(row.file, row.participants) for row in rows.good} == {("1413703_1c.mp4", ("ber-12", "ber-13"))}
    rows = read(tmp_path, dgs(), videos, media=("*_1a1.mp4",))
    assert {row.signer for row in rows.good} == {"ber-12"}
    assert "shows 'ber-13' is not told" in rows.bad[0].reason


def test_a_video_is_chosen_for_a_signer(tmp_path: Path) -> None:
    tiers = [tier("Text S1", [HELLO], "Ann"), tier("Text S2", [BYE], "Bob")]
    content = document(tiers, ["left.mp4", "right.mp4"])
    videos = ("left.mp4", "right.mp4")
    rows = read(tmp_path, content, videos)
    assert not rows.good
    assert [bad.reason for bad in rows.bad] == [
        f"which of the videos left.mp4, right.mp4 shows '{who}' is not told; choose with --media"
        for who in ("Ann", "Bob")
    ]
    rows = read(tmp_path, content, videos, media=("ann=left*", "S2=right.mp4"))
    assert [(row.file, row.participants) for row in rows.good] == [
        ("left.mp4", ("Ann",)),
        ("right.mp4", ("Bob",)),
    ]


def test_one_signer_is_in_all_views_of_her(tmp_path: Path) -> None:
    content = document([tier("Text", [HELLO], "Ann")], ["talk_side.mp4", "talk_front.mp4"])
    assert read(tmp_path, content, ("talk_side.mp4", "talk_front.mp4")).good[0].file == "talk_front.mp4"


def test_one_video_shows_everybody_whom_the_document_names(tmp_path: Path) -> None:
    tiers = [tier("Text A", [HELLO], "Ann"), tier("Text B", [BYE], "Bob"), tier("Gloss C", [], "Cem, Dee")]
    rows = read(tmp_path, document(tiers, ["talk.mp4"]), ("talk.mp4",))
    assert [(row.signer, row.participants) for row in rows.good] == [
        ("Ann", ("Ann", "Bob", "Cem", "Dee")),
        ("Bob", ("Ann", "Bob", "Cem", "Dee")),
    ]


@pytest.mark.parametrize(
    "url", ["file:///C:/data/clips/film%201.MOV", "..\\clips\\film 1.mov", "clips/film 1.mp4"]
)
def test_media_are_found_where_they_lie(tmp_path: Path, url: str) -> None:
    content = document([tier("Text", [HELLO])], [url])
    assert read(tmp_path, content, ("clips/film 1.mov",)).good[0].file == "clips/film 1.mov"
    (tmp_path / "clips/film 1.mov").rename(tmp_path / "talk.mp4")
    assert read(tmp_path, content).good[0].file == "talk.mp4"


def test_the_time_origin_of_the_video_is_added(tmp_path: Path) -> None:
    content = document([tier("Text A", [HELLO, (0, 100, "Begin.")])], [("a.mp4", 1500), ("talk.mp4", -150)])
    rows = read(tmp_path, content, ("a.mp4", "talk.mp4"), media=("a.mp4",))
    assert [(row.start, row.end) for row in rows.good] == [(1.7, 2.5), (1.5, 1.6)]
    rows = read(tmp_path, content, media=("talk.mp4",))
    assert [(row.start, row.end, row.clipped) for row in rows.good] == [(0.05, 0.85, False)]
    assert "not a piece of a video" in rows.bad[0].reason


def test_frames_as_units_of_time(tmp_path: Path) -> None:
    content = document([tier("Text", [(5, 30, "Hello.")])], ["a.mp4"], units="PAL-frames")
    assert [(row.start, row.end) for row in read(tmp_path, content, ("a.mp4",)).good] == [(0.2, 1.2)]
    content = document([tier("Text", [HELLO])], ["a.mp4"], units="bars")
    assert "'bars'" in read(tmp_path, content).bad[0].reason


def test_a_subdivided_sentence_is_one_text(tmp_path: Path) -> None:
    pieces = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="r{n}" ANNOTATION_REF="a0-0"><ANNOTATION_VALUE>{text}'
        "</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        for n, text in enumerate(("Hello", "there, you."))
    )
    inner = f'<TIER TIER_ID="Text" LINGUISTIC_TYPE_REF="sub">{pieces}</TIER>'
    kind = '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="sub" CONSTRAINTS="Symbolic_Subdivision"/>'
    content = document([tier("Gloss", [HELLO])], ["a.mp4"])
    rows = read(
        tmp_path,
        content.replace("</ANNOTATION_DOCUMENT>", f"{inner}{kind}</ANNOTATION_DOCUMENT>"),
        ("a.mp4",),
    )
    assert [(row.text, row.start, row.end) for row in rows.good] == [("Hello there, you.", 0.2, 1.0)]


@pytest.mark.parametrize(
    "broken", ["", "<ANNOTATION_DOCUMENT>", "<a/>", "<!DOCTYPE a><ANNOTATION_DOCUMENT/>", "\udcff", "no xml"]
)
def test_a_broken_file_is_one_bad_row(tmp_path: Path, broken: str) -> None:
    (tmp_path / "broken.eaf").write_text(broken, encoding="utf-8", errors="surrogateescape")
    rows = read(tmp_path, document([tier("Text", [HELLO])], ["a.mp4"]), ("a.mp4",))
    assert [row.text for row in rows.good] == ["Hello there."]
    assert [bad.where for bad in rows.bad] == ["broken.eaf"]


def test_references_that_go_round_end(tmp_path: Path) -> None:
    round_about = "".join(
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="r{n}" ANNOTATION_REF="r{1 - n}"><ANNOTATION_VALUE>x'
        "</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
        for n in range(2)
    )
    rows = read(
        tmp_path, f'<ANNOTATION_DOCUMENT><TIER TIER_ID="Text">{round_about}</TIER></ANNOTATION_DOCUMENT>'
    )
    assert [bad.reason for bad in rows.bad] == ["the annotation has no times"] * 2


def test_two_languages_of_one_interval_share_a_split(tmp_path: Path) -> None:
    def clip(number: int, language: str) -> Clip:
        text = f"{language} {number}"
        return Clip(text, text, "", "a.mp4", text, text, number, number + 1.0)  # type: ignore[arg-type]

    clips = [clip(number, language) for number in range(60) for language in ("de", "en")]
    intervals = [(number, number + 1) for number in range(60) for _ in ("de", "en")]
    chosen = assign_splits(clips, ReadSettings(), intervals)
    assert {c.split for c in chosen} == {"train", "validation", "test"}
    assert [c.split for c in chosen[::2]] == [c.split for c in chosen[1::2]]
    assert assign_splits(clips[::-1], ReadSettings(), intervals[::-1])[::-1] == chosen


def test_tier_and_media_belong_to_elan_alone(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,text\na,b\n")
    with pytest.raises(InputError, match="--tier and --media"):
        read_corpus(tmp_path / "labels.csv", tmp_path / "out", settings=ReadSettings(tiers=("x",)))


def test_people_and_tiers_are_in_the_manifest_and_the_summary(tmp_path: Path) -> None:
    video = write(tmp_path / "video.mp4", signing(50, (64, 48)))
    folder = tmp_path / "source"
    folder.mkdir()
    for view in ("1c", "1b1"):
        shutil.copy(video, folder / f"1413703_{view}.mp4")
    (folder / "talk.eaf").write_text(dgs(), encoding="utf-8")
    (folder / "cut.eaf").write_text(dgs()[:500], encoding="utf-8")
    settings = ReadSettings(find_signer=False, trim=False)
    summary = read_corpus(folder, tmp_path / "corpus", settings=settings)
    assert (summary.done, summary.quarantined, summary.details["not_read"]) == (4, 1, 0)
    assert summary.details["tiers"]["Translation_into_English_B"] == 1
    assert summary.details["languages"] == {"de": 2, "en": 2}
    clips = list(Corpus(tmp_path / "corpus").clips())
    assert [clip.people for clip in clips] == [["ber-12", "ber-13"]] * 2 + [["ber-13"]] * 2
    assert [(clip.start, clip.end, clip.frames) for clip in clips] == [(0.2, 1.0, 20)] * 4
    again = read_corpus(
        folder, tmp_path / "corpus", settings=settings.model_copy(update={"tiers": ("Deutsche*",)})
    )
    assert again.done == 2
