"""Model and bundled pictures."""

import json
import os
import subprocess
from pathlib import Path

import pytest

import anyref

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "assets" / "demo"


@pytest.fixture(scope="session")
def model():
    return anyref.load()


@pytest.fixture(scope="session")
def scene():
    return DEMO / "scene1.jpg"


@pytest.fixture(scope="session")
def picture(model, scene):
    return model.picture(scene)


@pytest.fixture(scope="session")
def command():
    """Command line: ``command("segment", …)`` returns its JSON, or the line of its error."""
    program = os.environ.get("ANYREF")
    if not program:
        pytest.skip("ANYREF names no program to compare with")

    def run(*arguments):
        done = subprocess.run(
            [program, *map(str, arguments), "--json"], capture_output=True, text=True, cwd=DEMO
        )
        if done.returncode:
            return done.stderr.strip().removeprefix("error: ")
        return json.loads(done.stdout)

    return run
