"""
The structure of the package: allowed imports, the places of libraries, and the sizes of modules.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest

from certworker.errors import CertworkerError, catalogue

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "certworker"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: The floors from the lowest to the top. A package imports only from the floors below its own.
FLOORS = [
    {"errors"},
    {
        "deadline",
        "hosts",
        "http_dates",
        "job_slot",
        "supervision",
        "text_yaml",
        "ttl_cache",
        "validity",
        "variables",
    },
    {"domains", "tracing"},
    {"certificates"},
    {"storage", "redis", "own_certificates"},
    {"dns"},
    {"settings"},
    {"state"},
    {"challenges", "ratelimits", "traefik"},
    {"dns01", "replication"},
    {"acme"},
    {"preflight"},
    {"renewal"},
    {"issuance"},
    {"notify", "observability"},
    {"worker", "http"},
    {"integrations"},
    {"doctor"},
    {"dashboard"},
    {"web"},
    {"app", "after_issuance"},
    {"runtime", "mirroring"},
    {"cli"},
    {"__main__"},
]

#: The packages that `devca` may import. Only the commands and the tests start its CA and its Redis.
DEVCA_KNOWS = {"errors", "storage", "certificates", "challenges"}

#: Modules without a floor: the module for Python programs, and the version.
FREE = {"__init__", "version"}

#: The packages that may import each library. A change to a library affects one package. Many packages pass a
#: Redis connection to others.
LIBRARIES = {
    "acme": {"devca"},
    "certifi": {"acme"},
    "click": {"cli"},
    "cryptography": {"certificates", "own_certificates", "acme", "replication.sealing", "devca"},
    "dns": {"dns", "dns01.rfc2136", "dns01.lexicon_child", "devca"},
    "docker": {"integrations.docker"},
    "flask": {"web"},
    "idna": {"domains"},
    "jinja2": {"web"},
    "josepy": {"acme", "devca"},
    "lexicon": {"dns01.lexicon_child"},
    "opentelemetry": {"tracing.spans"},
    "prometheus_client": {"observability.metrics"},
    "publicsuffixlist": {"domains"},
    "pydantic": {"settings"},
    "pydantic_settings": {"settings"},
    "redis": {
        "dns01",
        "redis",
        "state",
        "challenges",
        "ratelimits",
        "replication",
        "preflight.runner",
        "renewal",
        "issuance",
        "notify",
        "observability",
        "app",
        "runtime",
        "mirroring",
        "worker",
        "integrations",
        "doctor",
        "dashboard",
        "web",
        "cli",
    },
    "requests": {"acme", "devca", "tracing.spans"},
    "rich": {"cli"},
    "rq": {"worker", "web.queue"},
    "rq_dashboard": {"web"},
    "tldextract": {"dns01.lexicon_child"},
    "urllib3": {"acme", "devca"},
    "waitress": {"http"},
    "werkzeug": {"web"},
    "yaml": {"text_yaml", "traefik.file_format", "web.tokens"},
}

#: Names that do not describe the content of a module.
EMPTY_NAMES = {"utils", "base", "manager", "helpers", "common"}

LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

#: The modules of the catalogue. tests/errors/test_failure.py tests all of them.
CATALOGUE = {PACKAGE / "errors" / f"{kind.__module__.rpartition('.')[2]}.py" for kind in catalogue()}
FAILURES = {kind.__name__: kind for kind in catalogue()}


def module_name(path: Path) -> str:
    """
    Return the dotted name of the module at *path* within the package.
    """
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@cache
def tree(path: Path) -> ast.Module:
    """
    Return the syntax tree of the module at *path*.
    """
    return ast.parse(path.read_text())


@cache
def nodes(path: Path) -> list[ast.AST]:
    """
    Return all nodes of the module at *path*, at any depth.
    """
    return list(ast.walk(tree(path)))


def imported(path: Path) -> Iterator[str]:
    """
    Yield each module that the module at *path* imports, except imports for the type checker.
    """
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "certworker":
            found = [f"certworker.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [str(node.module)]
        else:
            continue
        if node not in for_the_type_checker(path):
            yield from found


@cache
def for_the_type_checker(path: Path) -> set[ast.AST]:
    """
    Return the imports that only the type checker reads.
    """
    blocks = (node for node in nodes(path) if isinstance(node, ast.If))
    return {line for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING" for line in block.body}


def modules_known(path: Path) -> set[str]:
    """
    Return the modules of the package that the module at *path* imports.
    """
    return {name.removeprefix("certworker.") for name in imported(path) if name.startswith("certworker.")}


def listed(package: Path) -> list[str]:
    """
    Return the modules of *package* in the order of its docstring.
    """
    found = re.findall(r"^ {4}(\w+) {2,}\S", ast.get_docstring(tree(package / "__init__.py")) or "", re.M)
    return [name for name in found if (package / f"{name}.py").exists() or (package / name).is_dir()]


def public_things(parent: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """
    Yield the public classes, functions and methods, without the failures of the catalogue.
    """
    for thing in parent.body:
        if isinstance(thing, ast.ClassDef | ast.FunctionDef):
            setter = any(ast.unparse(each).endswith(".setter") for each in thing.decorator_list)
            if thing.name.startswith("_") or thing.name in FAILURES or setter:
                continue
            yield thing
            if isinstance(thing, ast.ClassDef):
                yield from public_things(thing)


@cache
def words() -> dict[str, list[Path]]:
    """
    Return the files that use each name, except those of the catalogue.
    """
    found: dict[str, list[Path]] = {}
    for path in set(MODULES) - CATALOGUE:
        for node in nodes(path):
            if isinstance(node, ast.Name | ast.Attribute):
                found.setdefault(ast.unparse(node).rpartition(".")[2], []).append(path)
    return found


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """
    Yield each call of the class *name* in the package.
    """
    for path in set(words().get(name, [])):
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
                yield path, node


class TestFloors:
    @pytest.mark.parametrize("path", MODULES, ids=module_name)
    def test_imports_only_go_down(self, path: Path) -> None:
        """
        A module imports only modules of its package and of the floors below.
        """
        home, *_ = module_name(path).split(".")
        known = {name.partition(".")[0] for name in modules_known(path)} - {home} - FREE
        if home in FREE:
            return
        if home == "devca":
            assert known <= DEVCA_KNOWS
            return
        (floor,) = (number for number, packages in enumerate(FLOORS) if home in packages)
        below = set().union(*FLOORS[:floor])

        assert known <= (below | {"devca"} if home in ("runtime", "cli") else below)

    @pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES} - {PACKAGE}), ids=module_name)
    def test_modules_import_only_those_listed_above_them(self, folder: Path) -> None:
        """
        A module imports only modules that the docstring of its package lists above it.
        """
        order = listed(folder)
        package = f"{module_name(folder / '__init__.py')}."
        for path in sorted(folder.glob("[!_]*.py")):
            known = {
                name.removeprefix(package).partition(".")[0]
                for name in modules_known(path)
                if name.startswith(package)
            }

            assert known <= set(order[: order.index(path.stem)] if path.stem in order else [])


class TestLibraries:
    @pytest.mark.parametrize("path", MODULES, ids=module_name)
    def test_each_library_has_its_packages(self, path: Path) -> None:
        """
        Only the packages in the table import a library.
        """
        libraries = {name.partition(".")[0] for name in imported(path)}

        for library in libraries - sys.stdlib_module_names - {"certworker"}:
            homes = LIBRARIES[library]
            assert any(f"{module_name(path)}.".startswith(f"{home}.") for home in homes), library


class TestSizes:
    @pytest.mark.parametrize("path", MODULES, ids=module_name)
    def test_a_module_has_at_most_400_lines(self, path: Path) -> None:
        """
        A module has at most 400 lines.
        """
        assert len(path.read_text().splitlines()) <= LONGEST_MODULE

    @pytest.mark.parametrize("path", MODULES, ids=module_name)
    def test_a_function_has_at_most_60_lines(self, path: Path) -> None:
        """
        A function has at most 60 lines without its docstring.
        """
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                documented = len((ast.get_docstring(node, clean=False) or "").splitlines())
                assert int(node.end_lineno or 0) - node.lineno + 1 - documented <= LONGEST_FUNCTION, node.name

    @pytest.mark.parametrize("path", MODULES, ids=module_name)
    def test_its_name_describes_its_content(self, path: Path) -> None:
        """
        The name of a module is not one of the generic names.
        """
        assert not EMPTY_NAMES & set(module_name(path).split("."))


class TestWords:
    @pytest.mark.parametrize("path", MODULES, ids=module_name)
    def test_every_public_thing_has_a_docstring(self, path: Path) -> None:
        """
        Each public class, function and method has a docstring, except the failures of the catalogue.
        """
        assert ast.get_docstring(tree(path))
        for thing in public_things(tree(path)):
            assert ast.get_docstring(thing), thing.name

    @pytest.mark.parametrize(
        "path", [path for path in MODULES if path.stem[0] != "_" and path not in CATALOGUE], ids=module_name
    )
    def test_every_module_has_its_tests(self, path: Path) -> None:
        """
        Each module has a test file with the corresponding path.
        """
        folder = ROOT / "tests" / path.relative_to(PACKAGE).parent

        assert (folder / f"test_{path.stem}.py").exists() or path.stem in FREE


class TestFailures:
    @pytest.mark.parametrize("kind", FAILURES.values(), ids=lambda kind: kind.code)
    def test_each_failure_of_the_catalogue_happens(self, kind: type[CertworkerError]) -> None:
        """
        The code raises each failure of the catalogue.
        """
        assert kind.__name__ in words()

    @pytest.mark.parametrize("kind", FAILURES.values(), ids=lambda kind: kind.code)
    def test_each_failure_gets_the_values_of_its_message(self, kind: type[CertworkerError]) -> None:
        """
        Each call of a failure class has the values of its message and remedy.
        """
        needed = {
            field
            for _, field, _, _ in Formatter().parse(kind.message_template + kind.remedy_template)
            if field
        }
        for path, call in calls(kind.__name__):
            given = {keyword.arg for keyword in call.keywords}
            if None not in given and not call.args:
                assert given - {"until", "problem"} == needed, f"{module_name(path)}:{call.lineno}"
