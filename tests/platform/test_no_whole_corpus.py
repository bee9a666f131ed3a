"""No step holds a corpus in memory: who makes a list of clips is named here, with the reason."""

import ast
from pathlib import Path

PLATFORM = Path(__file__).parents[2] / "platform" / "cico_platform"
# Corpora of unknown size are read in pieces, by column, or by the names of a few clips.
ALLOWED = {
    "benchmarks/pipeline_sides.py": "clips that the benchmark has drawn",
    "benchmarks/precision.py": "clips of a demo",
    "benchmarks/search_material.py": "texts of a demo",
    "corpus/compose.py": "isolated signs of a dictionary, each of which is cut out",
    "demo/stages.py": "clips of a demo",
    "index/collection_tokens.py": "names of a token store's clips, in Arrow columns",
    "evaluation/evaluate.py": "one split, whose scores are a matrix of all with all",
    "index/set_encoding.py": "encodings of the clips of one batch",
    "reproduce/corpus.py": "corpora that were published, of at most 35,000 clips",
    "training/sign_encoder.py": "isolated signs, each a sample of the training",
}
# It has no manifest of clips: these are tables of names, and the store's own manifest of files.
TOKEN_STORE = "index/token_store/"
OF_ROWS = ("read_manifest", "table", "sentences")


def _called(node: ast.AST) -> str:
    """Name of the function or method that is called; empty for what is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _lists_of_clips(source: str) -> list[int]:
    """Lines of a module that read clips without naming them, or a manifest's rows as Python objects."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        given = len(node.args) + len(node.keywords)
        is_of_all = {
            "clips": isinstance(node.func, ast.Attribute) and all(k.arg != "named" for k in node.keywords),
            "read_manifest": given < 2,
            "to_pylist": isinstance(node.func, ast.Attribute) and _called(node.func.value) in OF_ROWS,
        }
        if is_of_all.get(_called(node)):
            found.append(node.lineno)
    return found


def test_the_search_finds_what_it_looks_for() -> None:
    assert _lists_of_clips("a = list(Corpus(x).clips())\nb = [c for c in y.clips('train')]") == [1, 2]
    assert _lists_of_clips("a = read_manifest(x).to_pylist()") == [1, 1]
    assert _lists_of_clips("a = corpus.table(['video_id']).to_pylist()") == [1]
    assert not _lists_of_clips("a = list(y.clips(named=names))\nb = read_manifest(x, ['video_id'])")


def test_who_makes_a_list_of_clips_has_a_reason() -> None:
    found = {
        path.relative_to(PLATFORM).as_posix()
        for path in PLATFORM.rglob("*.py")
        if _lists_of_clips(path.read_text(encoding="utf-8"))
    }
    assert {name for name in found if not name.startswith(TOKEN_STORE)} == set(ALLOWED)
