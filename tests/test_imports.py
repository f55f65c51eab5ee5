"""The import rules of docs/architecture.md, walked over every module's syntax tree."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("atdata", "indexer", "search_api")

PURE = (
    frozenset({"search_api.lens_paths"})
    | frozenset(
        f"indexer.{name}"
        for name in (
            "batch",
            "commit",
            "decide",
            "drops",
            "events",
            "frames",
            "holders",
            "lag",
            "lanes",
            "mst",
            "mst_edit",
            "replacement",
            "queues",
            "received",
            "rows",
            "screen",
            "tables",
            "tracked",
            "verify",
            "waiting",
            "watermark",
        )
    )
    | {"search_api.query_language", "search_api.words", "search_api.word_forms"}
    | {"search_api.snippet", "search_api.license_names"}
    | {"search_api.web.status_text"}
    | {
        f"search_api.web.{name}"
        for name in ("lens_map", "lens_map_layout", "preview_plots", "preview_table", "turning")
    }
    | {"atdata.preview_media", "atdata.preview_png", "atdata.preview_values"}
)
CODECS = frozenset({"cbor2", "libipld", "license_expression"})
# What would make a pure module depend on something other than its arguments.
IMPURE_MODULES = frozenset(
    [
        "asyncio",
        "duckdb",
        "glob",
        "http",
        "os",
        "pathlib",
        "random",
        "secrets",
        "select",
        "shutil",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "urllib3",
        "uuid",
        "websockets",
    ]
)
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, ast.Module]:
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def imports() -> Iterator[Import]:
    for importer, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(importer, alias.name, node.lineno)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{importer}:{node.lineno} has a relative import"
                yield Import(importer, node.module or "", node.lineno)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def is_pure(module: str) -> bool:
    return within(module, "atdata.protocol") or module in PURE


def test_every_pure_module_exists() -> None:
    assert set(modules()) >= PURE


def test_servers_use_only_the_shared_vocabulary() -> None:
    allowed = ("atdata.protocol", "atdata.network")
    wrong = [
        str(i)
        for i in imports()
        if i.importer.split(".")[0] in {"indexer", "search_api"}
        and within(i.imported, "atdata")
        and not any(within(i.imported, package) for package in allowed)
    ]
    assert wrong == []


def test_packages_do_not_import_across() -> None:
    wrong = [
        str(i)
        for i in imports()
        for own, other in (
            ("indexer", "search_api"),
            ("search_api", "indexer"),
            ("atdata", "indexer"),
            ("atdata", "search_api"),
        )
        if within(i.importer, own)
        and within(i.imported, other)
        and not within(i.importer, "atdata.cli")
    ]
    assert wrong == []


def test_protocol_imports_only_itself_the_standard_library_and_codecs() -> None:
    allowed = sys.stdlib_module_names | CODECS
    wrong = [
        str(i)
        for i in imports()
        if within(i.importer, "atdata.protocol")
        and not within(i.imported, "atdata.protocol")
        and i.imported.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_network_imports_nothing_of_the_library_but_the_protocol() -> None:
    wrong = [
        str(i)
        for i in imports()
        if within(i.importer, "atdata.network")
        and within(i.imported, "atdata")
        and not within(i.imported, "atdata.network")
        and not within(i.imported, "atdata.protocol")
    ]
    assert wrong == []


def test_pure_modules_import_nothing_impure() -> None:
    wrong = [
        str(i)
        for i in imports()
        if is_pure(i.importer) and i.imported.split(".")[0] in IMPURE_MODULES
    ]
    assert wrong == []


def test_pure_modules_read_no_clock() -> None:
    wrong = [
        f"{name}:{node.lineno} calls {node.func.attr}()"
        for name, tree in modules().items()
        if is_pure(name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCK_CALLS
    ]
    assert wrong == []


def test_no_import_hides_in_a_function() -> None:
    """Function-level imports hide cycles. The composition root and lazy packages may have them."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        if not within(name, "atdata.cli") and name not in {"atdata", "atdata.atmosphere"}
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import atdata", {"numpy", "webdataset", "urllib3", "atproto", "duckdb", "fastapi"}),
        ("import atdata.protocol.records, atdata.protocol.views", {"numpy", "urllib3"}),
        ("import atdata.network.identity", {"numpy", "webdataset"}),
        ("import indexer.pipeline, indexer.store", {"webdataset", "fastapi", "atproto"}),
        ("import search_api.app", {"webdataset", "atproto"}),
        ("import atdata.cli", {"numpy", "webdataset", "duckdb", "fastapi", "atproto"}),
    ],
)
def test_import_stays_light(statement: str, forbidden: set[str]) -> None:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert forbidden & set(done.stdout.split()) == set()
