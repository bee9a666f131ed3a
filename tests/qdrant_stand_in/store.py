"""Collections and aliases of a stand-in server in a folder: each collection is a shard of the engine."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import grpc
import qdrant_edge as edge
from qdrant_client import grpc as messages

from qdrant_stand_in.failures import RefusedError
from qdrant_stand_in.messages import SCHEMAS, bad_input, edge_config
from qdrant_stand_in.strict_mode import StrictMode

CONFIG, FIELDS, ENGINE, ALIASES = "config.pb", "fields.json", "engine", "aliases.json"


class Collection:
    """One collection: the request that made it, its payload indexes, its engine."""

    def __init__(self, folder: Path, request: messages.CreateCollection, shard: Any) -> None:
        self.folder, self.request, self.shard = folder, request, shard
        fields = folder / FIELDS
        self.fields: dict[str, int] = json.loads(fields.read_text()) if fields.is_file() else {}
        # What was read from disk after a restart is as it was: the engine may still have to build its graph.
        self.dirty, self._asked, self._optimizing = True, False, threading.Lock()
        self.updating = threading.Lock()

    @property
    def strict(self) -> StrictMode:
        """What it refuses."""
        return StrictMode(self.request.strict_mode_config, self.fields)

    def update(self, operation: Any) -> None:
        """Change the points."""
        try:
            with self.updating:
                self.shard.update(operation)
        except Exception as error:  # the engine raises nothing else
            raise bad_input(str(error)) from error
        self.dirty, self._asked = True, False

    def create_field_index(self, name: str, kind: int) -> None:
        """Index a field of the payload."""
        most = self.request.strict_mode_config.max_payload_index_count
        if name not in self.fields and most:
            self.strict.limit(len(self.fields) + 1, "max_payload_index_count", "payload indexes")
        self.update(edge.UpdateOperation.create_field_index(name, SCHEMAS[kind]))
        self.fields[name] = kind
        (self.folder / FIELDS).write_text(json.dumps(self.fields))

    def status(self) -> int:
        """Green once the engine has built what it searches by.

        The engine begins when it is asked twice without a change in between: unlike the server, it takes no
        requests while it builds, and whoever writes would have to wait.
        """
        if self._optimizing.locked():
            return int(messages.Yellow)
        if not self.dirty:
            return int(messages.Green)
        if not self._asked:
            self._asked = True
            return int(messages.Yellow)
        self.dirty = False
        threading.Thread(target=self._optimize, daemon=True).start()
        return int(messages.Yellow)

    def _optimize(self) -> None:
        with self._optimizing:
            self.shard.flush()
            while self.shard.optimize():
                pass
            self.shard.flush()


class Store:
    """All that a server keeps; opening the folder again finds it as it was."""

    def __init__(self, folder: Path, strict: messages.StrictModeConfig | None = None) -> None:
        self.folder, self.strict, self.lock = folder, strict, threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self.collections: dict[str, Collection] = {}
        for made in sorted(folder.glob(f"*/{CONFIG}")):
            request = messages.CreateCollection.FromString(made.read_bytes())
            shard = edge.EdgeShard.load(str(made.parent / ENGINE))
            self.collections[request.collection_name] = Collection(made.parent, request, shard)

    @property
    def aliases(self) -> dict[str, str]:
        """The collection of each alias."""
        file = self.folder / ALIASES
        return dict(json.loads(file.read_text())) if file.is_file() else {}

    def collection(self, name: str) -> Collection:
        """The collection of a name or an alias."""
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, request: messages.CreateCollection) -> None:
        """Make a collection."""
        name = request.collection_name
        if not name or "/" in name or len(name) > 255:
            raise bad_input(f"collection name cannot be '{name}'")
        with self.lock:
            if name in self.collections or name in self.aliases:
                raise RefusedError(
                    grpc.StatusCode.ALREADY_EXISTS, f"Wrong input: Collection `{name}` already exists!"
                )
            if self.strict is not None and not request.HasField("strict_mode_config"):
                request.strict_mode_config.CopyFrom(self.strict)
            folder = self.folder / name
            shutil.rmtree(folder, ignore_errors=True)
            (folder / ENGINE).mkdir(parents=True)
            shard = edge.EdgeShard.create(str(folder / ENGINE), edge_config(request))
            (folder / CONFIG).write_bytes(request.SerializeToString())
            self.collections[name] = Collection(folder, request, shard)

    def delete(self, name: str) -> bool:
        """Remove a collection and what names it."""
        with self.lock:
            found = self.collections.pop(name, None)
            if found is None:
                return False
            (found.folder / CONFIG).unlink()
            self._write({alias: target for alias, target in self.aliases.items() if target != name})
            with found.updating:
                found.shard.close()
            shutil.rmtree(found.folder, ignore_errors=True)
            return True

    def change_aliases(self, actions: Any) -> None:
        """All of these changes, or none of them."""
        with self.lock:
            aliases = self.aliases
            for action in actions:
                kind = action.WhichOneof("action")
                if kind == "delete_alias":
                    aliases.pop(action.delete_alias.alias_name, None)
                    continue
                if kind == "rename_alias":
                    renamed = action.rename_alias
                    aliases[renamed.new_alias_name] = aliases.pop(renamed.old_alias_name)
                    continue
                name, target = action.create_alias.alias_name, action.create_alias.collection_name
                if target not in self.collections:
                    raise RefusedError(
                        grpc.StatusCode.NOT_FOUND, f"Not found: Collection `{target}` doesn't exist!"
                    )
                if name in self.collections:
                    raise RefusedError(
                        grpc.StatusCode.ALREADY_EXISTS, f"Wrong input: Collection `{name}` already exists!"
                    )
                aliases[name] = target
            self._write(aliases)

    def close(self) -> None:
        """Write everything down."""
        with self.lock:
            for one in self.collections.values():
                one.shard.flush()
                one.shard.close()

    def _write(self, aliases: dict[str, str]) -> None:
        file = self.folder / f"{ALIASES}.partial"
        file.write_text(json.dumps(aliases))
        file.replace(self.folder / ALIASES)
