"""Make `.venv`, with the project and the named extras installed in it, and do nothing where that is done already.

    python3 .ci/environment.py render

The Makefile calls it before every target. It runs before anything is installed, so it uses the standard library
only, and its syntax is old enough for a Python that is too old to be told so. Where Python comes without ensurepip,
as Debian ships it, pip is fetched from the package index and its sha256 compared with the index's.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import html.parser
import importlib.util
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NEWER = ["python3", "python3.14", "python3.13", "python3.12", "python3.11"]
WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")  # final releases only
PYPI = "https://pypi.org/simple"
UNREACHABLE = "the package index at {} cannot be reached ({}); the first start needs the network, or a mirror in PIP_INDEX_URL"
UNTRUSTED = "the certificate of the package index at {} is not trusted here: apt-get install ca-certificates, or set PIP_CERT"


class SetupError(Exception):
    """What keeps the environment from being made, in one line."""


def say(line: str) -> None:
    print(f"environment: {line}", flush=True)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)


# ------------------------------------------------------------------------------------- the interpreter


def newer_python() -> str:
    """The first Python on the PATH that is new enough; a name may stand there and not run."""
    test = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    for path in filter(None, map(shutil.which, NEWER)):
        if run(path, "-c", test).returncode == 0:
            return path
    raise SetupError(
        f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, and {sys.executable} is {sys.version.split()[0]}; "
        "install one, and name it with PYTHON=/path/to/python3 if it is not on the PATH"
    )


# ------------------------------------------------------------------------------------------------- pip


def pip_setting(name: str, default: str = "") -> str:
    """A setting of pip's, from where pip itself looks for it: the environment, then the files, the user's last."""
    variable = "PIP_" + name.upper().replace("-", "_")
    home = Path.home()
    files = ["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", "")]
    config = configparser.RawConfigParser()
    config.read(map(str, files))
    return os.environ.get(variable) or str(config.get("global", name, fallback=default))


def fetch(url: str) -> bytes:
    """The bytes at `url`, over TLS that trusts what pip is told to trust, with the login that the address may hold."""
    parts = urllib.parse.urlsplit(url)
    login, _, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=place).geturl(), headers={"Accept": "text/html"})
    if login:
        encoded = base64.b64encode(urllib.parse.unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    try:
        with urllib.request.urlopen(request, timeout=60, context=ssl.create_default_context(cafile=pip_setting("cert") or None)) as answer:
            return bytes(answer.read())
    except OSError as error:  # URLError is one
        reason = str(getattr(error, "reason", error))
        line = UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in reason else UNREACHABLE
        raise SetupError(line.format(parts.hostname, reason)) from None


class Links(html.parser.HTMLParser):
    """The links of one page of an index (PEP 503), as (address, attributes)."""

    def __init__(self, page: str, base: str) -> None:
        super().__init__()
        self.base = base
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "a" and named.get("href"):
            self.found.append((urllib.parse.urljoin(self.base, named["href"]), named))


def newest_pip(page: str, base: str) -> tuple[str, str]:
    """The address and the sha256 of the newest final pip wheel that this Python can run and nobody withdrew."""
    best: tuple[tuple[int, ...], str, str] = ((), "", "")
    for address, attributes in Links(page, base).found:
        url, _, digest = address.partition("#sha256=")
        wheel = WHEEL.fullmatch(url.rsplit("/", 1)[-1])
        oldest = re.search(r">=\s*(\d+)\.(\d+)", attributes.get("data-requires-python") or "")
        if wheel and digest and "data-yanked" not in attributes and (not oldest or tuple(map(int, oldest.groups())) <= sys.version_info):
            best = max(best, (tuple(map(int, wheel[1].split("."))), url, digest))
    if not best[0]:
        raise SetupError(f"the index page {base} lists no pip wheel with a sha256; apt-get install python3-venv brings pip instead")
    return best[1:]


def bootstrap_pip(python: Path) -> None:
    """Install pip for `python` with no pip at hand: a pip wheel can run itself."""
    page = pip_setting("index-url", PYPI).rstrip("/") + "/pip/"
    url, digest = newest_pip(fetch(page).decode(), page)
    content = fetch(url)
    if hashlib.sha256(content).hexdigest() != digest:
        raise SetupError(f"{url} does not have the sha256 that the index states; nothing of it was run")
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder, url.rsplit("/", 1)[-1])
        wheel.write_bytes(content)
        checked(run(python, wheel / "pip", "install", "--quiet", "--no-index", wheel), "installing pip")


def checked(done: subprocess.CompletedProcess[str], doing: str) -> None:
    """Nothing, or an error: one line if the network is the reason, otherwise the command's own words before it."""
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if "Retrying (" in said:  # pip's word whenever no connection could be made
        line = UNTRUSTED if "CERTIFICATE_VERIFY_FAILED" in said else UNREACHABLE
        raise SetupError(line.format(urllib.parse.urlsplit(pip_setting("index-url", PYPI)).hostname, "pip could not connect"))
    print(said.rstrip(), file=sys.stderr)
    raise SetupError(f"{doing} failed with the words above")


# ------------------------------------------------------------------------------------- the environment


def make_environment(folder: Path) -> None:
    python = os.path.realpath(sys.executable)  # the base interpreter even when an environment is active
    if importlib.util.find_spec("ensurepip"):
        say(f"making {folder.name} with Python {sys.version.split()[0]}")
        checked(run(python, "-m", "venv", "--clear", folder), "making the environment")
    else:
        say(f"making {folder.name} with Python {sys.version.split()[0]}, which has no ensurepip: fetching pip from the package index")
        checked(run(python, "-m", "venv", "--clear", "--without-pip", folder), "making the environment")
        bootstrap_pip(folder / "bin/python")


def install_project(folder: Path, extras: set[str]) -> None:
    project = f".[{','.join(sorted(extras))}]" if extras else "."
    say(f"installing {project} into {folder.name}: a minute or two the first time")
    python = folder / "bin/python"
    checked(run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--editable", project), "pip")


def prepare(folder: Path, extras: set[str]) -> None:
    """Bring `folder` to hold the project with `extras`. The stamp says what it holds, and is written last.

    An interrupted start therefore leaves no stamp, and the next one begins afresh. Extras add up: `make demo` after
    `make test` finds all it needs.
    """
    stamp = folder / "compgraph.json"
    python = f"{sys.version} {os.path.realpath(sys.executable)} {folder}"
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    held = json.loads(stamp.read_text()) if stamp.exists() else {}
    if held.get("python") == python and held["project"] == project and extras <= set(held["extras"]):
        return
    stamp.unlink(missing_ok=True)
    if held.get("python") != python:
        held = {"extras": []}
        make_environment(folder)
    extras = extras | set(held["extras"])
    install_project(folder, extras)
    stamp.write_text(json.dumps({"python": python, "project": project, "extras": sorted(extras)}))
    say("ready")


def main(extras: list[str]) -> int:
    try:
        if sys.version_info < OLDEST:
            return subprocess.call([newer_python(), __file__, *extras])
        prepare(ROOT / ".venv", set(extras))
    except SetupError as error:
        print(f"environment: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
