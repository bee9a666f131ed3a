"""The route that takes feedback, where the operator has named a folder for it."""

import asyncio
from datetime import UTC, datetime

from fastapi import FastAPI, Request, Response

from cico_platform.encoding.limits import MAX_TEXT
from cico_platform.schemas.feedback import Judgement
from cico_platform.serving import answers
from cico_platform.serving.described import PROBLEMS, problems
from cico_platform.serving.feedback import FeedbackWriter
from cico_platform.serving.feedback_schemas import Feedback
from cico_platform.serving.service import SearchService


def add_feedback(app: FastAPI, service: SearchService) -> None:
    """`POST /v1/feedback`, if `service.feedback` is set."""
    if service.settings.feedback is None:
        return
    writer = FeedbackWriter(service.settings)

    @app.post(
        "/v1/feedback",
        status_code=204,
        response_class=Response,
        responses={**problems(400, 404, 408, 413), 503: PROBLEMS[503]},
        summary="Say that a result is right or wrong",
    )
    async def feedback(body: Feedback, request: Request) -> Response:
        writer.admit(str(request.scope.get("cico_client", "unknown")))
        shown = answers.clip(await service.find(body.video_id))
        judgement = Judgement(
            day=datetime.now(UTC).date().isoformat(),
            collection=service.collection,
            text=shown.text[:MAX_TEXT],
            **body.model_dump(),
        )
        await asyncio.to_thread(writer.write, judgement)
        return Response(status_code=204)
