"""A real Jupyter server whose root directory is a mount, driven as its web page drives it."""

import base64
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class JupyterServer:
    """Serves `root` on a free port of the loopback interface; `with` ends it."""

    def __init__(self, root: pathlib.Path, home: pathlib.Path):
        self._token = secrets.token_hex(16)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        environment = os.environ | {"HOME": str(home), "JUPYTER_TOKEN": self._token, "JUPYTER_NO_CONFIG": "1"}
        self._log = open(home / "jupyter.log", "wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}",
             "--FileContentsManager.delete_to_trash=False"],
            env=environment, stdout=self._log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 40
        while True:
            try:
                self.call("GET", "/api/status")
                return
            except (urllib.error.URLError, ConnectionError):
                if self._process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError("Jupyter did not start:\n" + (home / "jupyter.log").read_text()) from None
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def call(self, method: str, target: str, body: dict | None = None):
        request = urllib.request.Request(
            self._url + target, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self._token}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {target}: {error.code} {error.read().decode()}") from None
        return json.loads(text) if text else None

    # The verbs of the page's file browser and editor.

    def model(self, path: str, content: bool = False) -> dict:
        return self.call("GET", _contents(path) + f"?content={int(content)}")

    def names(self, path: str = "") -> list[str]:
        return sorted(entry["name"] for entry in self.call("GET", _contents(path) + "?content=1")["content"])

    def new(self, directory: str, what: dict) -> dict:
        return self.call("POST", _contents(directory), what)

    def save_text(self, path: str, text: str) -> dict:
        return self.call("PUT", _contents(path), {"type": "file", "format": "text", "content": text})

    def save_notebook(self, path: str, notebook: dict) -> dict:
        return self.call("PUT", _contents(path), {"type": "notebook", "format": "json", "content": notebook})

    def upload(self, path: str, data: bytes, chunk_size: int) -> None:
        chunks = [data[at:at + chunk_size] for at in range(0, len(data), chunk_size)]
        for number, chunk in enumerate(chunks, start=1):
            self.call("PUT", _contents(path), {
                "type": "file", "format": "base64", "chunk": -1 if number == len(chunks) else number,
                "content": base64.b64encode(chunk).decode()})

    def rename(self, path: str, to: str) -> dict:
        return self.call("PATCH", _contents(path), {"path": to})

    def delete(self, path: str) -> None:
        self.call("DELETE", _contents(path))

    def checkpoint(self, path: str) -> str:
        return self.call("POST", _contents(path) + "/checkpoints")["id"]

    def restore(self, path: str, checkpoint: str) -> None:
        self.call("POST", _contents(path) + "/checkpoints/" + checkpoint)


def _contents(path: str) -> str:
    return "/api/contents/" + urllib.parse.quote(path)
