"""Verify and inspect are offline: a whole run with sockets, programs and forks forbidden, and what they may write.

The images, their signatures, the trust repository and the site are simulated, so this runs everywhere. The way in
is the command line, as a site uses it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.delivered import deliver
from tests.offline_guard import EXIT_FORBIDDEN

GUARD = [sys.executable, "-B", "-m", "tests.offline_guard"]


@dataclass(frozen=True)
class Scene:
    """A bundle of two signed images, and a site that has pinned its root."""

    root: Path
    bundle: Path
    state: Path
    policy: Path

    def run(
        self,
        *words: str | Path,
        before: list[str] | None = None,
        writable: bool = True,
        standard_input: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run under the guard; the state folder is the one place that may be written."""
        environment: Mapping[str, str] = {
            **os.environ,
            "SEALIFT_STATE": str(self.state),
            "SEALIFT_GUARD_WRITABLE": str(self.state) if writable else "",
        }
        with (standard_input or Path(os.devnull)).open("rb") as source:
            return subprocess.run(
                [*(before or GUARD), *map(str, words)],
                cwd=self.root, env=environment, stdin=source, capture_output=True, text=True, check=False,
            )  # fmt: skip

    def verify(self, bundle: Path | str, *words: str | Path) -> list[str | Path]:
        """The words of a verify command."""
        return ["verify", bundle, "--policy", self.policy, *words]


@pytest.fixture
def scene(root: Path, tmp_path: Path) -> Scene:
    made = deliver(tmp_path)
    return Scene(root, made.bundle, made.state, made.policy)


def test_a_bundle_verifies_with_every_way_out_forbidden(scene: Scene) -> None:
    result = scene.run(*scene.verify(scene.bundle))
    assert result.returncode == 0, result.stdout + result.stderr
    again = scene.run(*scene.verify(scene.bundle, "--json"))
    assert again.returncode == 0, again.stdout + again.stderr


def test_from_a_pipe_too(scene: Scene) -> None:
    result = scene.run(*scene.verify("-"), standard_input=scene.bundle)
    assert result.returncode == 0, result.stdout + result.stderr


def test_read_only_writes_nothing_at_all(scene: Scene) -> None:
    result = scene.run(*scene.verify(scene.bundle, "--read-only"), writable=False)
    assert result.returncode == 0, result.stdout + result.stderr
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    result = scene.run(*scene.verify(scene.bundle, "--at", at, "--reason", "audit"), writable=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_recording_does_write_to_the_state(scene: Scene) -> None:
    result = scene.run(*scene.verify(scene.bundle), writable=False)
    assert result.returncode == EXIT_FORBIDDEN, "the guard must see writes, or it proves nothing"


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_refusing_stays_inside_too(scene: Scene, position: float) -> None:
    raw = bytearray(scene.bundle.read_bytes())
    raw[int(len(raw) * position)] ^= 1
    scene.bundle.write_bytes(raw)
    assert scene.run(*scene.verify(scene.bundle), writable=False).returncode in {1, 3, 4, 5}


def test_inspect_and_integrity_only(scene: Scene) -> None:
    result = scene.run("inspect", scene.bundle, writable=False)
    assert result.returncode == 0, result.stdout + result.stderr
    result = scene.run("verify", scene.bundle, "--integrity-only", writable=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_client_of_a_network_is_even_loaded(scene: Scene) -> None:
    """Two come with dependencies and stay unused, as the guard proves: `socket` (cryptography.x509 → email.utils) and
    `subprocess` (tuf.api.metadata → securesystemslib.signer)."""
    clients = {"ssl", "_ssl", "http.client", "urllib.request", "urllib3", "asyncio", "multiprocessing"}
    code = (
        "import sys; from bundler.cli.main import main; "
        f"code = main({[str(word) for word in scene.verify(scene.bundle)]!r}); "
        f"print(code, sorted(({clients!r} | {{'bundler.network'}}) & set(sys.modules)))"
    )
    result = scene.run("-B", "-c", code, before=[sys.executable])
    assert result.stdout.splitlines()[-1] == "0 []", result.stdout + result.stderr


def test_the_kernel_sees_no_way_out_either(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    strace = ["strace", "-f", "-qq", "-e", "trace=%network,execve,execveat,fork,vfork,clone,clone3", "-o", str(log)]
    try:
        probe = subprocess.run([*strace, "true"], check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if probe.returncode:
        pytest.skip("strace may not trace here")
    tool = [sys.executable, "-B", "-c", "import sys; from bundler.cli.main import main; sys.exit(main(sys.argv[1:]))"]
    result = scene.run(*scene.verify(scene.bundle, "--threads", "2"), before=[*strace, *tool])
    assert result.returncode == 0, result.stdout + result.stderr
    calls = log.read_text().splitlines()
    foreign = [call for call in calls if not re.search(r"CLONE_THREAD|\+\+\+|---|resumed>", call)]
    assert len(foreign) == 1, foreign  # the interpreter's own start
    assert "execve(" in foreign[0]


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.posix_spawn('/bin/true', ['true'], {})",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
        "try:\n    import socket; socket.socket()\nexcept BaseException:\n    pass",
        "open('planted', 'w')",
        "import os; os.open('planted', os.O_CREAT | os.O_WRONLY)",
        "import os; os.mkdir('planted')",
        "import tempfile; tempfile.TemporaryFile()",
    ],
)
def test_the_guard_sees(root: Path, code: str) -> None:
    result = subprocess.run([*GUARD, "--code", code], cwd=root, check=False, capture_output=True, text=True)
    assert (result.returncode, "forbidden: " in result.stderr) == (EXIT_FORBIDDEN, True), result.stderr
    assert not (root / "planted").exists()


def test_the_guard_lets_plain_work_pass(root: Path) -> None:
    code = "import hashlib, json; open('pyproject.toml', 'rb').read(); open('/dev/null', 'w')"
    assert subprocess.run([*GUARD, "--code", code], cwd=root, check=False).returncode == 0
