"""A notebook that writes and reads back the formats of the trade, executed by a real kernel on a mount.

    formats.py MOUNT

The notebook is written to the mount, executed there, and saved with its outputs; `lakefuse` is on the PATH.
"""

import pathlib
import sys

import nbclient
import nbformat

CELLS = [
    """
import numpy, pandas
table = pandas.DataFrame({"n": range(10_000), "x": numpy.random.default_rng(1).random(10_000)})
table.to_csv("table.csv", index=False)
assert len(pandas.read_csv("table.csv")) == 10_000
table.tail(5).to_csv("table.csv", mode="a", header=False, index=False)
assert len(pandas.read_csv("table.csv")) == 10_005
""",
    """
import pyarrow, pyarrow.parquet
table.to_parquet("table.parquet")
pandas.testing.assert_frame_equal(pandas.read_parquet("table.parquet"), table)
pandas.read_parquet("table.parquet").assign(y=1).to_parquet("table.parquet")
assert list(pandas.read_parquet("table.parquet").columns) == ["n", "x", "y"]
for append in (False, True): table.to_parquet("appended.parquet", engine="fastparquet", index=False, append=append)
assert len(pandas.read_parquet("appended.parquet")) == 20_000
table.assign(part=table.n % 3).to_parquet("parts", partition_cols=["part"], basename_template="{i}.parquet")
assert len(pandas.read_parquet("parts")) == 10_000
""",
    """
numpy.save("array.npy", table.x.to_numpy())
assert (numpy.load("array.npy", mmap_mode="r") == table.x).all()
numpy.savez_compressed("arrays.npz", n=table.n, x=table.x)
assert (numpy.load("arrays.npz")["n"] == table.n).all()
mapped = numpy.memmap("mapped.bin", dtype="f8", mode="w+", shape=(1000, 100))
mapped[:] = 7
mapped[10, 10] = 8
mapped.flush()
del mapped
assert numpy.memmap("mapped.bin", dtype="f8", mode="r", shape=(1000, 100)).sum() == 700_001
""",
    """
import h5py
with h5py.File("data.h5", "w") as f:
    f.create_dataset("x", data=table.x, maxshape=(None,), chunks=True)
with h5py.File("data.h5", "a") as f:
    f["x"].resize((20_000,))
    f["x"][10_000:] = table.x
    f.attrs["note"] = "twice"
with h5py.File("data.h5", "r") as f:
    assert f["x"].shape == (20_000,) and f.attrs["note"] == "twice" and (f["x"][10_000:] == table.x).all()
""",
    """
import zarr
z = zarr.create_array("grid.zarr", shape=(100, 100), chunks=(50, 50), dtype="i4")
z[:] = 3
z[:50, :50] = 4
assert zarr.open_array("grid.zarr", mode="r")[:].sum() == 100 * 100 * 3 + 50 * 50
""",
    """
import joblib, pickle
with open("model.pickle", "wb") as f: pickle.dump({"table": table}, f)
with open("model.pickle", "rb") as f: assert (pickle.load(f)["table"].n == table.n).all()
joblib.dump(table, "model.joblib", compress=3)
assert (joblib.load("model.joblib").x == table.x).all()
""",
    """
import sqlite3, zipfile
for mode in ("delete", "wal"):
    db = sqlite3.connect(f"{mode}.sqlite")
    db.execute(f"PRAGMA journal_mode={mode}")
    table.to_sql("t", db)
    with db: db.execute("DELETE FROM t WHERE n >= 5000")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (5000,)
    db.close()
with zipfile.ZipFile("all.zip", "w", zipfile.ZIP_DEFLATED) as z: z.write("table.csv")
with zipfile.ZipFile("all.zip", "a") as z: z.write("array.npy")
assert zipfile.ZipFile("all.zip").testzip() is None
""",
    """
said = !lakefuse commit . -m "results of the notebook"
print(said)
assert any("commit" in line for line in said), said
""",
]


def main() -> None:
    path = pathlib.Path(sys.argv[1]) / "study.ipynb"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    nbformat.write(book, path)
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    nbformat.write(book, path)


if __name__ == "__main__":
    main()
