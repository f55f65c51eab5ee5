"""The wheel: what it holds, and that one extra alone gives the library without the servers."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXTRAS = ("atmosphere", "indexer", "search", "all", "dev")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is committed or about to be, so that the checkout stays clean."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    for name in listed.splitlines():
        source, target = ROOT / name, copy / name
        if source.is_file() and not name.startswith(("tests/", "recordings/")):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=copy)
    (built,) = out.glob("*.whl")
    return built


def test_wheel_holds_the_packages_and_their_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    assert {"atdata/py.typed", "indexer/schema.sql", "search_api/app.py"} <= set(names)
    lexicons = {
        Path(n).stem for n in names if n.startswith("atdata/lexicons/ac/foundation/dataset/")
    }
    assert {"sampleSchema", "record", "lens", "searchDatasets", "getIndexStatus"} <= lexicons
    assert any(n.startswith("search_api/web/templates/") for n in names)
    assert not any(n.startswith(("tests/", "deploy/", "recordings/", "docs/")) for n in names)
    for extra in EXTRAS:
        assert f"Provides-Extra: {extra}\n" in metadata
    assert "License-Expression: MIT\n" in metadata


def pins(folder: Path) -> Path:
    """The locked versions without hashes, which a wheel on disk cannot have."""
    lock = (ROOT / "requirements" / "run.lock").read_text(encoding="utf-8")
    lines = [line.rstrip(" \\") for line in lock.splitlines() if re.match(r"[a-z0-9]", line)]
    path = folder / "pins.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.timeout(300)
def test_atmosphere_extra_gives_the_library_alone(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", pins(tmp_path), f"{wheel}[atmosphere]")
    program = (
        "import importlib.util as u, json, atdata, atdata.atmosphere;"
        "from atdata import packable, Dataset, BlobSource, search, load_dataset;"
        "from atdata.atmosphere import AtmosphereClient, AtmosphereIndex, PDSBlobStore;"
        "print(json.dumps([n for n in ('duckdb','fastapi','tantivy','pyarrow') if u.find_spec(n)]))"
    )
    assert run(python, "-c", program, cwd=tmp_path).strip() == "[]"
    helped = run(home / "bin" / "atdata", "--help", cwd=tmp_path)
    assert "search" in helped
    refused = subprocess.run(
        [home / "bin" / "atdata", "serve"], capture_output=True, text=True, cwd=tmp_path
    )
    assert refused.returncode == 1
    assert "atdata[all]" in refused.stderr


def test_no_lock_file_names_a_registry() -> None:
    locks = [*ROOT.glob("requirements/*.lock"), ROOT / "deploy" / "devnet" / "package-lock.json"]
    assert len(locks) == 3
    for lock in locks:
        text = lock.read_text(encoding="utf-8")
        assert not re.search(r'"resolved": ?"http|index.url|find.links|://pypi|registry\.', text), (
            lock
        )
