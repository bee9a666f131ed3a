"""What the service allows a client, and how it scales."""

from pydantic import Field

from cico_platform.settings import Settings


class ServiceSettings(Settings):
    """Limits of the service.

    Attributes
    ----------
    upload_bytes, body_bytes
        Largest video and largest other body that is taken; more answers 413.
    upload_seconds
        Longest that a body may take to come; longer answers 408.
    searches_per_client
        Searches of one key (or of one address, where no keys are needed) at the same time; more answers 429.
    searches
        Searches by text, and alignments of indexed clips, that a replica takes at the same time: being
        encoded, ranked, or waiting for that; more answer 503 at once. Without it, the number follows the
        cores and the time that searches take (`limits.AdaptiveLimit`).
    text_seconds, video_seconds, rank_seconds
        Longest that encoding a text, reading a video and ranking may take, waiting included; longer answers
        503.
    inside_length
        Longest video that a sentence is looked for in, in seconds; a longer one answers 422.
    inside_queue
        Such videos that may wait for the one that is being read; more answer 503.
    rankings
        Searches of the index at the same time; further ones that were let in wait. Without it, one a core.
    least_replicas, most_replicas
        Replicas of the API of an index on a server, as many as the load needs. An embedded index has one.
    rankers
        Processes that score candidates. Without it, one a core, none on a single core: the API scores them;
        of an index on a server as many as the load needs, one a core at most.
    max_replicas
        Most replicas of the encoder of videos.
    encoder_queue
        Requests that may wait for an encoder, as videos do that are encoded one at a time; more answer 503.
    keys
        File of `cico keys`; where it is given, nothing below `/v1` answers without a key.
    per_minute, burst
        Requests below `/v1` of a key (or address) in a minute, and at once after a pause; more answer 429.
        A key may have a rate of its own. None is as many as come.
    cors_origins
        Origins whose pages may ask; none but the service's own by default.
    media_roots
        Folders and URLs below which a clip's file must lie to be given out, symbolic links followed; without
        any, every indexed clip's file is.
    feedback
        Folder into which judgements of results are written, one file of JSON lines a process; without it
        none are taken. A line holds no key and no address; it holds the sentence that was searched for.
    feedback_bytes
        Largest file of them; three full ones are kept beside the one that grows.
    feedback_per_minute
        Judgements of a key (or address) in a minute; more answer 429.
    remote_media_bytes
        Largest file that is passed through from a store.
    """

    upload_bytes: int = Field(default=64 << 20, ge=1)
    body_bytes: int = Field(default=256 << 10, ge=1)
    upload_seconds: float = Field(default=60.0, gt=0)
    searches_per_client: int = Field(default=16, ge=1)
    searches: int | None = Field(default=None, ge=1)
    text_seconds: float = Field(default=15.0, gt=0)
    video_seconds: float = Field(default=90.0, gt=0)
    rank_seconds: float = Field(default=30.0, gt=0)
    inside_length: float = Field(default=600.0, gt=0)
    inside_queue: int = Field(default=4, ge=0)
    rankings: int | None = Field(default=None, ge=1)
    least_replicas: int = Field(default=1, ge=1)
    most_replicas: int = Field(default=8, ge=1)
    rankers: int | None = Field(default=None, ge=0)
    max_replicas: int = Field(default=2, ge=1)
    encoder_queue: int = Field(default=8, ge=1)
    keys: str | None = None
    per_minute: float | None = Field(default=None, gt=0)
    burst: int = Field(default=10, ge=1)
    cors_origins: tuple[str, ...] = ()
    media_roots: tuple[str, ...] = ()
    feedback: str | None = None
    feedback_bytes: int = Field(default=64 << 20, ge=1)
    feedback_per_minute: float = Field(default=60.0, gt=0)
    remote_media_bytes: int = Field(default=256 << 20, ge=1)
