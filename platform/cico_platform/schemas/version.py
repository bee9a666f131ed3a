"""The version of the stored schemas: files of a later one are refused, files of earlier ones are read."""

from collections.abc import Mapping

import pyarrow as pa

from cico_platform.errors import InputError

SCHEMA_VERSION = 2
VERSION_FIELD = b"schema_version"
# Files without a version were written before there was one.
UNVERSIONED = 1


def versioned(schema: pa.Schema, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """Return the schema with its version, and further metadata, for a file's footer."""
    return schema.with_metadata({VERSION_FIELD.decode(): str(SCHEMA_VERSION), **(metadata or {})})


def check_version(metadata: Mapping[bytes, bytes] | None, path: object) -> int:
    """Return the schema version of a file.

    Raises
    ------
    InputError
        If a later version of this program wrote it.
    """
    try:
        found = int((metadata or {}).get(VERSION_FIELD, str(UNVERSIONED).encode()))
    except ValueError:
        found = UNVERSIONED
    if found > SCHEMA_VERSION:
        raise InputError(
            f"'{path}' has schema version {found}, this program reads up to {SCHEMA_VERSION}: it was "
            "written by a later version; install that one, or compute the output again"
        )
    return found
