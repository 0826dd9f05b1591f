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

import click

from certworker.cli import cli
from certworker.errors import CertworkerError, catalog

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
        "minutes",
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

#: The text before a value in a command for the operator.
IN_A_COMMAND = re.compile(
    rf"(?:\bcertworker (?:{'|'.join(cli.list_commands(click.Context(cli)))})|[:;] (?:curl|dig|docker|ls)) "
    r"(?:(?!\. [A-Z])[^;\n])*$"
)
#: Modules whose commands contain only codes of the catalog.
OF_CODES = {"errors.pages"}

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

#: The modules of the catalog. tests/errors/test_failure.py tests all of them.
CATALOG = {PACKAGE / "errors" / f"{kind.__module__.rpartition('.')[2]}.py" for kind in catalog()}
FAILURES = {kind.__name__: kind for kind in catalog()}


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
    return {line for block in blocks if last_name(block.test) == "TYPE_CHECKING" for line in block.body}


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
    Yield the public classes, functions and methods, without the failures of the catalog.
    """
    for thing in parent.body:
        if isinstance(thing, ast.ClassDef | ast.FunctionDef):
            setter = "setter" in map(last_name, thing.decorator_list)
            if thing.name.startswith("_") or thing.name in FAILURES or setter:
                continue
            yield thing
            if isinstance(thing, ast.ClassDef):
                yield from public_things(thing)


@cache
def words() -> dict[str, list[Path]]:
    """
    Return the files that use each name, except those of the catalog.
    """
    found: dict[str, list[Path]] = {}
    for path in set(MODULES) - CATALOG:
        for node in nodes(path):
            if name := last_name(node):
                found.setdefault(name, []).append(path)
    return found


def last_name(node: ast.AST) -> str | None:
    """
    Return the last part of a name with or without dots, or None for any other node.
    """
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """
    Yield each call of the class *name* in the package.
    """
    for path in set(words().get(name, [])):
        for node in nodes(path):
            if isinstance(node, ast.Call) and last_name(node.func) == name:
                yield path, node


def packages_known(path: Path) -> set[str]:
    """
    Return the other packages that the module at *path* imports, except the modules without a floor.
    """
    home, *_ = module_name(path).split(".")
    return {name.partition(".")[0] for name in modules_known(path)} - {home} - FREE


def packages_below(path: Path) -> set[str]:
    """
    Return the packages that the module at *path* may import.
    """
    home, *_ = module_name(path).split(".")
    if home in FREE:
        return set().union(*FLOORS, {"devca"})
    if home == "devca":
        return DEVCA_KNOWS
    (floor,) = (number for number, packages in enumerate(FLOORS) if home in packages)
    return set().union(*FLOORS[:floor], {"devca"} if home in ("runtime", "cli") else ())


def lines_of(function: ast.FunctionDef) -> int:
    """
    Return the number of lines of *function* without its docstring.
    """
    documented = len((ast.get_docstring(function, clean=False) or "").splitlines())
    return int(function.end_lineno or 0) - function.lineno + 1 - documented


def has_the_values(call: ast.Call, kind: type[CertworkerError]) -> bool:
    """
    Report whether *call* of the class *kind* has exactly the values of its message and remedy.
    """
    templates = Formatter().parse(kind.message_template + kind.remedy_template)
    given = {keyword.arg for keyword in call.keywords}
    known = None not in given and not call.args
    return not known or given - {"until", "problem"} == {field for _, field, _, _ in templates if field}


def unquoted(tree: ast.AST) -> list[str]:
    """
    Return the values in the commands of the strings in *tree* that a shell may change.
    """
    found = []
    for string in ast.walk(tree):
        if not isinstance(string, ast.JoinedStr):
            continue
        text = ""
        for part in string.values:
            if isinstance(part, ast.Constant):
                text += str(part.value)
                continue
            value = part.value if isinstance(part, ast.FormattedValue) else part
            if isinstance(value, ast.Name | ast.Attribute | ast.Subscript) and IN_A_COMMAND.search(text):
                found.append(ast.unparse(value))
            text += "X"
    return found


class TestFloors:
    def test_imports_only_go_down(self) -> None:
        """
        A module imports only modules of its package and of the floors below.
        """
        wrong = [
            f"{module_name(path)} imports {name}"
            for path in MODULES
            for name in sorted(packages_known(path) - packages_below(path))
        ]

        assert not wrong, "\n".join(wrong)

    def test_modules_import_only_those_listed_above_them(self) -> None:
        """
        A module imports only modules that the docstring of its package lists above it.
        """
        wrong = []
        for folder in sorted({path.parent for path in MODULES} - {PACKAGE}):
            order = listed(folder)
            package = f"{module_name(folder / '__init__.py')}."
            for path in sorted(folder.glob("[!_]*.py")):
                known = {
                    name.removeprefix(package).partition(".")[0]
                    for name in modules_known(path)
                    if name.startswith(package)
                }
                above = order[: order.index(path.stem)] if path.stem in order else []
                wrong += [f"{module_name(path)} imports {name}" for name in sorted(known - set(above))]

        assert not wrong, "\n".join(wrong)


class TestLibraries:
    def test_each_library_has_its_packages(self) -> None:
        """
        Only the packages in the table import a library.
        """
        ours = sys.stdlib_module_names | {"certworker"}
        wrong = [
            f"{module_name(path)} imports {library}"
            for path in MODULES
            for library in sorted({name.partition(".")[0] for name in imported(path)} - ours)
            if not any(f"{module_name(path)}.".startswith(f"{home}.") for home in LIBRARIES[library])
        ]

        assert not wrong, "\n".join(wrong)


class TestSizes:
    def test_a_module_has_at_most_400_lines(self) -> None:
        """
        A module has at most 400 lines.
        """
        sizes = {module_name(path): len(path.read_text().splitlines()) for path in MODULES}
        wrong = [f"{name} has {size} lines" for name, size in sizes.items() if size > LONGEST_MODULE]

        assert not wrong, "\n".join(wrong)

    def test_a_function_has_at_most_60_lines(self) -> None:
        """
        A function has at most 60 lines without its docstring.
        """
        wrong = [
            f"{module_name(path)}.{node.name} has {lines_of(node)} lines"
            for path in MODULES
            for node in nodes(path)
            if isinstance(node, ast.FunctionDef) and lines_of(node) > LONGEST_FUNCTION
        ]

        assert not wrong, "\n".join(wrong)

    def test_the_name_of_a_module_describes_its_content(self) -> None:
        """
        The name of a module is not one of the generic names.
        """
        assert [] == [name for name in map(module_name, MODULES) if EMPTY_NAMES & set(name.split("."))]


class TestWords:
    def test_every_public_thing_has_a_docstring(self) -> None:
        """
        Each module and each public class, function and method has a docstring, except the failures.
        """
        wrong = [
            f"{module_name(path)}: {getattr(thing, 'name', 'the module')}"
            for path in MODULES
            for thing in (tree(path), *public_things(tree(path)))
            if not ast.get_docstring(thing)
        ]

        assert not wrong, "\n".join(wrong)

    def test_every_module_has_its_tests(self) -> None:
        """
        Each module has a test file with the corresponding path, except those of the catalog.
        """
        tested = [path for path in MODULES if path.stem[0] != "_" and path not in CATALOG]
        files = [
            ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.stem}.py"
            for path in tested
            if path.stem not in FREE
        ]
        missing = [str(file) for file in files if not file.exists()]

        assert not missing, "\n".join(missing)


class TestFailures:
    def test_each_failure_of_the_catalog_happens(self) -> None:
        """
        The code raises each failure of the catalog.
        """
        assert set(FAILURES) <= set(words())

    def test_each_failure_gets_the_values_of_its_message(self) -> None:
        """
        Each call of a failure class has the values of its message and remedy.
        """
        wrong = [
            f"{module_name(path)}:{call.lineno} {kind.__name__}"
            for kind in FAILURES.values()
            for path, call in calls(kind.__name__)
            if not has_the_values(call, kind)
        ]

        assert not wrong, "\n".join(wrong)


class TestCommands:
    def test_each_value_in_a_command_is_quoted(self) -> None:
        """
        A message quotes each value in a command for a shell, which may replace `*.example.org` with files.
        The failure classes do so for the values of their remedies.
        """
        wrong = {module_name(path): unquoted(ast.parse(path.read_text())) for path in MODULES}

        assert {} == {name: values for name, values in wrong.items() if values and name not in OF_CODES}

    def test_an_unquoted_value_is_found(self) -> None:
        """
        The search finds a value after the first argument, and not one after the command.
        """
        assert ["name"] == unquoted(ast.parse('f"See: certworker request --force {name}"'))
        assert [] == unquoted(ast.parse('f"See: certworker request {quote(name)}; then wait for {name}"'))
        assert [] == unquoted(ast.parse('f"Run: certworker doctor. Then read {name}"'))
