"""Runs the notebook and checks that it shows pictures; its outputs go to the file named.

    python examples/notebooks/run.py OUT.ipynb
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent

notebook = nbformat.read(FOLDER / "pointing.ipynb", as_version=4)
NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
nbformat.write(notebook, sys.argv[1])
outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
pictures = [output for output in outputs if "image/png" in output.get("data", {})]
if len(pictures) < 4:
    sys.exit(f"the notebook shows {len(pictures)} pictures, 4 are expected")
print(f"{len(notebook.cells)} cells, {len(pictures)} pictures")
