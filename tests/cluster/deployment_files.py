"""What the tests of deploy/ share: the files, and the commands of ours that stand in them."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def kubernetes_documents() -> list[tuple[str, dict[str, Any]]]:
    """Every object in deploy/kubernetes, with the name of its file."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [(file.name, document) for file in files for document in documents(file)]


def commands(text: str) -> list[list[str]]:
    """Every `cico …` line in a file's YAML or in its indented comments, in words."""
    lines = [re.sub(r"^#   ", "    ", line) for line in text.splitlines()]
    code = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    code = re.sub(r"\\\n\s*", " ", code)
    code = re.sub(r">-\n\s*(cico(?: .*)?(?:\n\s+-.*)*)", lambda m: re.sub(r"\n\s+", " ", m.group(1)), code)
    found = re.findall(r"(?<![\w/.-])cico ([a-z][^'\"`\n]*)", re.sub(r"\s+#.*", "", code))
    return [shlex.split(words) for words in found]
