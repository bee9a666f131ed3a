"""What an index holds and answers: clips with their sign tokens, hits, and the filters people search by."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, overload

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Tokens = NDArray[np.floating[Any]]

# Any fixed namespace would do: the same clip must get the same id in every index.
NAMESPACE = uuid.UUID("6c1c0f5e-3b0a-5a43-9d39-0f6a8b1d2c47")
# What clips of one text share (`texts`): its key, and the part of the collection that it belongs to.
TEXT_KEY, TEXT_PART = "text_key", "text_part"
# An engine has an index of each. People filter by all but the last two (`ClipFilters`).
FILTER_FIELDS = (
    *("corpus", "language", "sign_language", "signer", "participants", "licence", "split"),
    *(TEXT_KEY, TEXT_PART),
)
MAX_VALUES = 100
# Most results of an answer, how deep its pages go, and characters of a text that is searched for.
MAX_LIMIT, MAX_DEPTH = 100, 500


def point_id(video_id: str) -> str:
    """The id of a clip's point: the same in every collection, so that indexing twice changes nothing.

    >>> point_id("a") == point_id("a"), point_id("a") == point_id("b")
    (True, False)
    """
    return str(uuid.uuid5(NAMESPACE, video_id))


@dataclass(frozen=True)
class IndexedClip:
    """A clip as a point of the index.

    `tokens` are float [T, D], one a valid window (no class token, no padding), as the video tower gives them,
    with 1 <= T. `payload` is JSON: the manifest's columns, `corpus`, `duration` in seconds, `window_starts`
    (frames), `window_times` where they do not follow from the rate, `fps`, and an absolute `path`.
    """

    video_id: str
    tokens: Tokens
    payload: Mapping[str, Any] = field(default_factory=dict)


Payload = dict[str, Any]


class Hit:
    """A clip that answered.

    Parameters
    ----------
    score
        0 where nothing was scored.
    payload
        Of its point, or what reads it: that is asked once, when the payload is first looked at.
    tokens
        [T, D], or what reads them, if asked for.
    products
        float32 [Q, T]: the dot products of the query's tokens with the clip's, all of length 1, where the
        index has computed them.
    video_id
        The clip, where it is known before the payload.
    """

    def __init__(
        self,
        score: float,
        payload: Payload | Callable[[], Payload],
        tokens: Tokens | Callable[[], Tokens] | None = None,
        products: NDArray[np.float32] | None = None,
        video_id: str | None = None,
    ) -> None:
        self.score, self.products = score, products
        self._payload, self._tokens, self._video_id = payload, tokens, video_id

    @property
    def payload(self) -> Payload:
        """What its point holds beside vectors."""
        if callable(self._payload):
            self._payload = self._payload()
        return self._payload

    @property
    def tokens(self) -> Tokens | None:
        """The clip's tokens [T, D], if they were asked for."""
        if callable(self._tokens):
            self._tokens = self._tokens()
        return self._tokens

    @property
    def video_id(self) -> str:
        """The clip."""
        return str(self.payload["video_id"]) if self._video_id is None else self._video_id


class Hits(Sequence[Hit]):
    """Clips that answered, best first; each is made when it is looked at.

    A search ranks a thousand for the ten that it shows: as many objects would keep Python's collector of
    cycles busy, a fifth of a second now and then.

    Parameters
    ----------
    count
        How many.
    make
        Gives the i-th.
    products
        float32 [Q, N]: the dot products of the query's tokens with those of all hits, hit after hit,
        all of length 1, where the index has computed them.
    lengths
        Integers [count]: how many tokens each hit has; with `products`.
    take
        Gives several with their payloads, where one call for all costs less than one for each.
    """

    def __init__(
        self,
        count: int,
        make: Callable[[int], Hit],
        products: NDArray[np.float32] | None = None,
        lengths: NDArray[np.int64] | None = None,
        take: Callable[[Sequence[int]], list[Hit | None]] | None = None,
    ) -> None:
        self._count, self._make, self._take = count, make, take
        self.products, self.lengths = products, lengths

    def take(self, chosen: Sequence[int]) -> list[Hit | None]:
        """These hits, to be shown; None for a clip that was deleted after it was found."""
        return [self._make(i) for i in chosen] if self._take is None else self._take(chosen)

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> list[Hit]: ...

    def __getitem__(self, index: int | slice) -> Hit | list[Hit]:
        chosen = range(self._count)[index]
        return self._make(chosen) if isinstance(chosen, int) else [self._make(i) for i in chosen]

    def __len__(self) -> int:
        return self._count


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Values = Annotated[Annotated[list[str], Field(max_length=MAX_VALUES)] | None, BeforeValidator(_listed)]


class Filters(BaseModel):
    """What a clip must be: one of the listed values in every field that is given, and of such a duration.

    `participants` finds the clips that show one of these people, whoever signs in them.

    >>> Filters(signer="A").values()
    {'signer': ['A']}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: Values = None
    language: Values = None
    sign_language: Values = None
    signer: Values = None
    participants: Values = None
    licence: Values = None
    split: Values = None
    min_duration: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    max_duration: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None

    def values(self) -> dict[str, list[str]]:
        """The accepted values of each field that is filtered by."""
        return {name: list(v) for name in FILTER_FIELDS if (v := getattr(self, name, None)) is not None}

    def is_empty(self) -> bool:
        """Whether every clip passes."""
        return not self.values() and self.min_duration is None and self.max_duration is None


class ClipFilters(Filters):
    """Filters that are no one's to choose: by the key or the part of a clip's text (`texts`).

    >>> ClipFilters(signer="A", text_key=["k"]).values()
    {'signer': ['A'], 'text_key': ['k']}
    """

    text_key: Values = None
    text_part: Values = None
