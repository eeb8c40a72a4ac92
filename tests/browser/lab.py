"""A real JupyterLab server for tests: its own folders, a free port, nothing that reaches the network."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 90
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"kernelShutdown": False, "windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Lab:
    """A running server: where it listens, where its notebooks lie, what it logged."""

    url: str
    notebooks: Path
    log: Path

    def api(self, path: str, method: str = "GET") -> Any:
        """Ask the server's REST interface."""
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            body = reply.read()
        return json.loads(body) if body else None

    def stop_kernels(self, notebook: str | None = None) -> None:
        """End the kernels of one notebook, or all of them, as closing the laptop would."""
        for session in self.api("sessions"):
            if notebook not in (None, session["path"]):
                continue
            self.api(f"sessions/{session['id']}", "DELETE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path) -> dict[str, str]:
    """The server's environment: every folder Jupyter would share with the person's own is a fresh one."""
    own = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "MPLCONFIGDIR": home / "matplotlib",
    }
    return {**os.environ, **{name: str(folder) for name, folder in own.items()}, "OMP_NUM_THREADS": "1"}


def write_settings(home: Path) -> None:
    for plugin, values in OVERRIDES.items():
        extension, name = plugin.split(":")
        file = home / "settings" / extension / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))


def start(home: Path) -> tuple[Lab, subprocess.Popen[bytes]]:
    """Start a server under `home` and wait until it answers."""
    notebooks = home / "notebooks"
    notebooks.mkdir(parents=True)
    write_settings(home)
    port = free_port()
    log = home / "server.log"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"),
        *("--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={notebooks}"),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=notebooks, env=environment(home), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    lab = Lab(f"http://127.0.0.1:{port}", notebooks, log)
    wait_until_it_answers(lab, process)
    return lab, process


def wait_until_it_answers(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with {process.returncode}:\n{lab.log.read_text()}")
        try:
            lab.api("status")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    process.kill()
    raise TimeoutError(f"JupyterLab did not answer within {START_SECONDS} s:\n{lab.log.read_text()}")


def stop(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    """End the kernels, then the server."""
    lab.stop_kernels()
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)
