"""Install this project into the virtual environment whose Python runs this file: with uv, else with pip.

Usage, by `make`: `.venv/bin/python scripts/install.py [EXTRA ...]`. It needs the standard library alone.
"""

import ast
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOG = Path(sys.prefix) / "install.log"
UV = "uv>=0.7,<1"
# uv reads these from the environment; where one is set, pip's setting of that kind is not passed on.
UV_OWN = {
    "index_url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra_index_url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find_links": ("UV_FIND_LINKS",),
    "trusted_host": ("UV_INSECURE_HOST",),
    "constraint": ("UV_CONSTRAINT",),
}
OPTIONS = {
    "index_url": "--default-index",
    "extra_index_url": "--index",
    "find_links": "--find-links",
    "trusted_host": "--allow-insecure-host",
    "constraint": "--constraints",
}
VARIABLES = {"cert": "SSL_CERT_FILE", "client_cert": "SSL_CLIENT_CERT", "proxy": "ALL_PROXY"}
NO_PIP = "there is no pip in the environment; remove it ('make clean') and try again"
# The first cause whose words are in the output of uv or pip is told.
CAUSES = (
    (("No module named pip",), NO_PIP),
    (
        ("No space left on device", "os error 28", "Errno 28", "Disk quota exceeded", "os error 122"),
        "the disk is full; the environment needs some 3 GiB, a build of torch for CUDA some 5 GiB more",
    ),
    (
        ("invalid peer certificate", "CERTIFICATE_VERIFY_FAILED", "UnknownIssuer"),
        "the package index has a certificate that this machine does not trust; name a file of trusted ones: "
        "PIP_CERT=FILE",
    ),
    (
        (
            "dns error",
            "error sending request",
            "Request failed after",
            "NewConnectionError",
            "NameResolutionError",
            "Failed to establish a new connection",
            "Connection refused",
            "Network is unreachable",
            "ReadTimeoutError",
            "ConnectTimeoutError",
            "ProxyError",
            "operation timed out",
        ),
        "the package index cannot be reached; check the network, or name a mirror: PIP_INDEX_URL=URL",
    ),
    (
        (
            "command 'gcc' failed",
            "command 'cc' failed",
            "command 'x86_64-linux-gnu-gcc' failed",
            "No such file or directory: 'gcc'",
            "No such file or directory: 'cc'",
            "Unknown compiler",
        ),
        "a package has no build for this Python and machine, and there is no C compiler; take Python 3.11 to "
        "3.13 on Linux or macOS",
    ),
)


def main(extras: list[str]) -> int:
    """Install the project with these extras; return the exit code."""
    target = f".[{','.join(extras)}]" if extras else "."
    began = time.monotonic()
    LOG.write_text("")
    uv = find_uv()
    why = "uv is not on the PATH and cannot be installed"
    if uv is not None:
        print(
            f"installing into {Path(sys.prefix).name} with uv (a minute or two the first time) ...",
            flush=True,
        )
        options, environment = uv_settings(pip_settings(), os.environ)
        arguments = [
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            sys.executable,
            "--constraints",
            "constraints.txt",
        ]
        if succeeds([uv, *arguments, *options, "--editable", target], environment):
            print(f"installed in {time.monotonic() - began:.0f} s")
            return 0
        why = f"uv could not install: {cause(LOG.read_text())}"
        backend = os.environ.get("UV_TORCH_BACKEND")
        if backend or "the disk is full" in why:
            print(
                why
                + (f" (UV_TORCH_BACKEND={backend} takes torch from an index of its own)" if backend else "")
            )
            return 2
    elif os.environ.get("UV_TORCH_BACKEND"):
        print(f"{why}; UV_TORCH_BACKEND needs it: unset that, or install uv")
        return 2
    print(f"{why}; installing with pip, some minutes ...", flush=True)
    LOG.write_text("")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "-c", "constraints.txt"]
    if "cannot be reached" in why:
        pip += ["--retries", "1"]  # pip may know another way there; if not, it is said soon
    if succeeds([*pip, "--editable", target], os.environ):
        print(f"installed in {time.monotonic() - began:.0f} s")
        return 0
    print(f"pip could not install: {cause(LOG.read_text())} (all it said is in {LOG})")
    return 2


def find_uv() -> str | None:
    """Path of a uv that runs: the one on the PATH, else one in this environment, installed if need be."""
    own = str(Path(sys.executable).parent / "uv")
    for candidate in (shutil.which("uv"), own):
        if candidate is not None and succeeds([candidate, "--version"], os.environ):
            return candidate
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--retries", "1", UV]
    return own if succeeds(pip, os.environ) and succeeds([own, "--version"], os.environ) else None


def pip_settings() -> dict[str, str]:
    """Settings of `pip install` from its configuration files and the environment; the latter win."""
    listed = ""
    for pip in ([sys.executable, "-m", "pip"], ["pip"]):  # an environment made by uv has none of its own
        with contextlib.suppress(OSError):
            listed = (
                listed
                or subprocess.run(
                    [*pip, "config", "list"], capture_output=True, text=True, check=False
                ).stdout
            )
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.startswith(section):
                found[name.removeprefix(section).replace("-", "_")] = str(ast.literal_eval(value))
    return found


def uv_settings(pip: Mapping[str, str], environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Options and environment with which uv looks for packages where pip would.

    Where uv's own variable for a setting is there already, it holds.
    """
    options: list[str] = []
    own = dict(environment)
    for setting, option in OPTIONS.items():
        if setting in pip and not any(name in environment for name in UV_OWN[setting]):
            for value in pip[setting].split():
                options += [option, value]
    if "--index" in options and "UV_INDEX_STRATEGY" not in environment:
        options += ["--index-strategy", "unsafe-best-match"]  # as pip does: the best version of all indexes
    if is_on(pip.get("no_index", "")):
        options.append("--no-index")
    for setting, variable in VARIABLES.items():
        if pip.get(setting):
            own.setdefault(variable, pip[setting])
    own.setdefault("UV_SYSTEM_CERTS", "1")  # the system's certificates, as pip trusts them
    own["UV_PYTHON_DOWNLOADS"] = "never"
    own.setdefault("UV_HTTP_TIMEOUT", pip.get("timeout", pip.get("default_timeout", "60")))
    return options, own


def is_on(value: str) -> bool:
    """Whether pip takes this value of a switch for yes."""
    return value.lower() in {"1", "true", "yes", "on"}


def succeeds(command: list[str], environment: Mapping[str, str]) -> bool:
    """Run it from the project's root, its output appended to the log; whether it ended well."""
    with LOG.open("a") as log:
        try:
            return not subprocess.run(
                command, cwd=ROOT, env=dict(environment), stdout=log, stderr=log, check=False
            ).returncode
        except OSError as error:
            log.write(f"{command[0]}: {error}\n")
            return False


def cause(output: str) -> str:
    """The reason for a failure, in a sentence: a known one, else the last line that tells of an error."""
    for words, told in CAUSES:
        if any(word in output for word in words):
            return told
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "×", "fatal"))]
    return (errors or lines or ["it said nothing"])[-1]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"could not install: {cause(f'{error} [Errno {error.errno}]')}")
        sys.exit(2)
