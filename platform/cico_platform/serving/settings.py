"""What the service allows a client, and how it scales."""

from pydantic import Field

from cico_platform.settings import Settings


class ServiceSettings(Settings):
    """Limits of the service.

    Attributes
    ----------
    upload_bytes
        Largest video that is taken; more answers 413.
    searches_per_client
        Searches of one address at the same time; more answers 429.
    text_seconds, video_seconds
        Longest that encoding may take, waiting included; longer answers 503.
    rankings
        Searches of the index at the same time; further ones wait.
    max_replicas
        Most replicas of each encoder.
    encoder_queue
        Requests that may wait for an encoder; more answer 503.
    """

    upload_bytes: int = Field(default=64 << 20, ge=1)
    searches_per_client: int = Field(default=16, ge=1)
    text_seconds: float = Field(default=15.0, gt=0)
    video_seconds: float = Field(default=90.0, gt=0)
    rankings: int = Field(default=4, ge=1)
    max_replicas: int = Field(default=2, ge=1)
    encoder_queue: int = Field(default=32, ge=1)
