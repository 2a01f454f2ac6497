"""A day in Jupyter's file browser and editor, on a mount.

    file_browser.py MOUNT SCRATCH

Other people's writes go to the lake by its API: LAKE_REPOSITORY is its address there, and the
LAKECTL_CREDENTIALS_* variables hold the key.
"""

import base64
import os
import pathlib
import sys
import time
import urllib.parse
import urllib.request

from jupyter_page import JupyterServer

EMPTY = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def notebook(text: str) -> dict:
    return EMPTY | {"cells": [{"cell_type": "markdown", "id": "a1", "metadata": {}, "source": text}]}


def put_as_another(path: str, data: bytes) -> None:
    key = ":".join(os.environ["LAKECTL_CREDENTIALS_" + name] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    request = urllib.request.Request(
        os.environ["LAKE_REPOSITORY"] + "/branches/main/objects?path=" + urllib.parse.quote(path, safe=""), method="POST", data=data,
        headers={"Authorization": "Basic " + base64.b64encode(key.encode()).decode(),
                 "Content-Type": "application/octet-stream"})
    urllib.request.urlopen(request, timeout=30).close()


def until(what, seconds: float = 10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def source(model: dict) -> str:
    return model["content"]["cells"][0]["source"]


def edit(jupyter: JupyterServer) -> None:
    jupyter.new("", {"type": "directory"})
    jupyter.rename("Untitled Folder", "work")
    made = jupyter.new("work", {"type": "notebook"})
    assert made["path"] == "work/Untitled.ipynb", made["path"]
    jupyter.rename("work/Untitled.ipynb", "work/study ü.ipynb")

    # Autosave: again and again; what the page was told is what it finds, or it would warn of a change on disk.
    for n in range(5):
        saved = jupyter.save_notebook("work/study ü.ipynb", notebook(f"version {n}"))
        assert jupyter.model("work/study ü.ipynb")["last_modified"] == saved["last_modified"]
    time.sleep(1.5)  # Longer than the metadata's life: the lake's own answer says the same.
    assert jupyter.model("work/study ü.ipynb")["last_modified"] == saved["last_modified"]

    checkpoint = jupyter.checkpoint("work/study ü.ipynb")
    jupyter.save_notebook("work/study ü.ipynb", notebook("a mistake"))
    jupyter.restore("work/study ü.ipynb", checkpoint)
    assert source(jupyter.model("work/study ü.ipynb", content=True)) == "version 4"

    copy = jupyter.new("work", {"copy_from": "work/study ü.ipynb"})
    assert source(jupyter.model(copy["path"], content=True)) == "version 4"
    jupyter.rename(copy["path"], "work/copy.ipynb")
    assert jupyter.names("work") == ["copy.ipynb", "study ü.ipynb"], jupyter.names("work")


def upload(jupyter: JupyterServer, scratch: pathlib.Path) -> None:
    data = os.urandom(5_000_001)
    (scratch / "uploaded").write_bytes(data)
    jupyter.upload("work/table.bin", data, 1 << 20)
    model = jupyter.call("GET", "/api/contents/work/table.bin?type=file&format=base64&content=1")
    assert base64.b64decode(model["content"]) == data

    jupyter.save_text("work/draft.txt", "to be deleted")
    jupyter.delete("work/draft.txt")
    jupyter.new("work", {"type": "directory"})
    jupyter.delete("work/Untitled Folder")
    assert jupyter.names("work") == ["copy.ipynb", "study ü.ipynb", "table.bin"]


def two_writers(jupyter: JupyterServer) -> None:
    # Two tabs: before a page saves, it asks whether the file is as it last saw it.
    jupyter.save_text("shared.txt", "first")
    seen = jupyter.model("shared.txt")["last_modified"]
    time.sleep(0.01)
    jupyter.save_text("shared.txt", "by the other tab")
    assert jupyter.model("shared.txt")["last_modified"] != seen

    # Another person, through the lake: the page sees it, the browser lists it.
    seen = jupyter.model("shared.txt")["last_modified"]
    time.sleep(1.1)  # The server gives whole seconds where a client wrote none of its own.
    put_as_another("shared.txt", b"by another client")
    put_as_another("theirs.csv", b"a,b\n1,2\n")
    until(lambda: jupyter.model("shared.txt")["last_modified"] != seen)
    until(lambda: jupyter.model("shared.txt", content=True)["content"] == "by another client")
    until(lambda: "theirs.csv" in jupyter.names())
    jupyter.save_text("shared.txt", "the last word")


def main() -> None:
    mount, scratch = (pathlib.Path(argument) for argument in sys.argv[1:])
    with JupyterServer(mount, scratch) as jupyter:
        edit(jupyter)
        upload(jupyter, scratch)
        two_writers(jupyter)


if __name__ == "__main__":
    main()
