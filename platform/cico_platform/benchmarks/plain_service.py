"""The plain way to serve an index: one FastAPI process, a thread a request, nothing refused."""

import sys
import tempfile
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile
from pydantic import BaseModel

from cico_platform.index.search import Searcher


class Query(BaseModel):
    """A search by a sentence."""

    text: str
    limit: int = 10


def plain_app(searcher: Searcher) -> FastAPI:
    """Both searches as a first version would have them: FastAPI runs each in a thread of its pool."""
    app = FastAPI()

    @app.post("/v1/search")
    def search(query: Query) -> dict[str, Any]:
        return {"results": searcher.by_text(query.text, query.limit)}

    @app.post("/v1/search/video")
    def search_by_video(file: UploadFile) -> dict[str, Any]:
        with tempfile.NamedTemporaryFile(suffix=".video") as kept:
            kept.write(file.file.read())
            kept.flush()
            return {"results": searcher.by_video(kept.name)}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


def main(index: str, port: int) -> None:
    """Serve until interrupted."""
    with Searcher.open(index) as searcher:
        uvicorn.run(plain_app(searcher), port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
