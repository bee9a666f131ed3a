"""What a collection in strict mode refuses, after `lib/collection/src/operations/verification` of Qdrant."""

from collections.abc import Iterable, Iterator
from typing import Any

from qdrant_client import grpc as messages

from qdrant_stand_in.failures import RefusedError
from qdrant_stand_in.messages import bad_input

# What the stand-in's `--strict` turns on: smaller than any request that a careless client would send.
STRICT = messages.StrictModeConfig(
    enabled=True,
    max_query_limit=2000,
    max_timeout=60,
    unindexed_filtering_retrieve=False,
    unindexed_filtering_update=False,
    search_allow_exact=False,
    search_max_oversampling=2.0,
    search_max_hnsw_ef=2000,
    upsert_max_batchsize=100,
    filter_max_conditions=12,
    condition_max_size=64,
    max_payload_index_count=12,
)


def refused(what: str, advice: str) -> RefusedError:
    """Qdrant's own words."""
    return bad_input(f"{what}. Help: {advice}")


class StrictMode:
    """Checks the requests to one collection."""

    def __init__(self, config: messages.StrictModeConfig, indexed: Iterable[str]) -> None:
        self.config, self.indexed = config, frozenset(indexed)

    def limit(self, value: int | float, setting: str, name: str) -> None:
        """Refuse what is above a limit."""
        if self.config.enabled and self.config.HasField(setting) and value > getattr(self.config, setting):
            most = getattr(self.config, setting)
            raise refused(
                f'Limit exceeded {value} > {most} for "{name}"',
                f'Reduce the "{name}" parameter to or below {most}.',
            )

    def timeout(self, request: Any) -> None:
        """Refuse a server-side timeout that is too long."""
        if request.HasField("timeout"):
            self.limit(request.timeout, "max_timeout", "timeout")

    def exact(self, exact: bool) -> None:
        """Refuse what needs a full scan."""
        forbidden = self.config.HasField("search_allow_exact") and not self.config.search_allow_exact
        if self.config.enabled and forbidden and exact:
            raise refused("Exact search disabled!", "Set exact=false.")

    def params(self, params: messages.SearchParams) -> None:
        """Refuse search parameters."""
        self.exact(params.exact)
        if params.HasField("hnsw_ef"):
            self.limit(params.hnsw_ef, "search_max_hnsw_ef", "hnsw_ef")
        if params.quantization.HasField("oversampling"):
            self.limit(params.quantization.oversampling, "search_max_oversampling", "oversampling")

    def filter(self, given: messages.Filter, *, update: bool = False) -> None:
        """Refuse filters by fields without an index, of too many conditions or values."""
        if not self.config.enabled:
            return
        conditions = list(_conditions(given))
        setting = "unindexed_filtering_update" if update else "unindexed_filtering_retrieve"
        if self.config.HasField(setting) and not getattr(self.config, setting):
            for one in conditions:
                if one.HasField("field") and one.field.key not in self.indexed:
                    raise refused(
                        f'Index required but not found for "{one.field.key}"',
                        "Create an index for this key or use a different filter.",
                    )
        self.limit(len(conditions), "filter_max_conditions", "filter conditions")
        self.limit(max(map(_size, conditions), default=0), "condition_max_size", "condition size")


def _conditions(given: messages.Filter) -> Iterator[messages.Condition]:
    for one in (*given.must, *given.should, *given.must_not):
        if one.HasField("filter"):
            yield from _conditions(one.filter)
        else:
            yield one


def _size(condition: messages.Condition) -> int:
    if condition.HasField("has_id"):
        return len(condition.has_id.has_id)
    match = condition.field.match
    kind = match.WhichOneof("match_value")
    return len(getattr(match, kind).strings) if kind in ("keywords", "except_keywords") else 0
