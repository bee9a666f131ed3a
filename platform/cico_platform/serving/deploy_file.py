"""One file says how an index is served: `cico serve --config` and Ray's `serve deploy` take the same."""

from typing import Any

import yaml
from pydantic import Field

from cico_platform.config_files import ConfigFile
from cico_platform.errors import InputError
from cico_platform.serving.application import ServedIndex
from cico_platform.settings import Settings

IMPORT_PATH = "cico_platform.serving.application:application"
APPLICATION = "cico"
HTTP, APPLICATIONS, ARGS = "http_options", "applications", "args"


class HttpSettings(Settings):
    """Where the service listens; the names are Ray Serve's.

    Attributes
    ----------
    host, port
        Address; `0.0.0.0` is every address.
    request_timeout_s
        Longest that a request may take altogether.
    keep_alive_timeout_s
        How long a connection on which nothing is asked stays open.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    request_timeout_s: float = Field(default=120.0, gt=0)
    keep_alive_timeout_s: int = Field(default=5, ge=1)


def as_deploy_file(served: ServedIndex, http: HttpSettings) -> str:
    """The file, as YAML."""
    application = {
        "name": APPLICATION,
        "route_prefix": "/",
        "import_path": IMPORT_PATH,
        ARGS: served.model_dump(mode="json"),
    }
    whole = {HTTP: http.model_dump(mode="json"), APPLICATIONS: [application]}
    written: str = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
    return f"# serve deploy FILE, on a Ray cluster; cico serve --config FILE, on this machine\n{written}"


def split_deploy_file(file: ConfigFile) -> tuple[ConfigFile, ConfigFile]:
    """The part of the file that says what is served, and the part that says where.

    Raises
    ------
    InputError
        If the file doesn't serve one index, or says what only `serve deploy` can do.
    """
    applications = file.values.get(APPLICATIONS)
    if not isinstance(applications, list) or len(applications) != 1 or not isinstance(applications[0], dict):
        raise InputError(
            f"'{file.path}' must have one application; 'cico serve --print-config' writes such a file"
        )
    (application,) = applications
    if application.get("import_path") != IMPORT_PATH:
        raise InputError(f"'{file.path}': the application's import_path must be {IMPORT_PATH}")
    known = {"name", "route_prefix", "import_path", ARGS}
    others = [*(set(file.values) - {HTTP, APPLICATIONS}), *(set(application) - known)]
    if others:
        raise InputError(f"'{file.path}': only 'serve deploy' takes '{min(others)}', not 'cico serve'")
    return (
        _part(file, f"{APPLICATIONS}.0.{ARGS}", application.get(ARGS)),
        _part(file, HTTP, file.values.get(HTTP)),
    )


def _part(file: ConfigFile, name: str, values: Any) -> ConfigFile:
    if not isinstance(values, dict | None):
        raise InputError(f"'{file.path}': '{name}' must be a group of settings")
    prefix = f"{name}."
    lines = {key.removeprefix(prefix): n for key, n in file.lines.items() if key.startswith(prefix)}
    return ConfigFile(file.path, values or {}, lines)
