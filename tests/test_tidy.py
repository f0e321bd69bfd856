"""Size of files and functions, banned calls and words, docstrings.

A line that breaks a size or call rule for a good reason says so at its end: ``# tidy: <reason>``.
Rules that ruff has (commented-out code, unused names, ...) are left to `make lint`.
"""

import ast
import functools
import re
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "aurora_es"
FILE_LINES_MAX = 600
PACKAGE_FILE_LINES_MEDIAN_MAX = 200
FUNCTION_LINES_MAX = 70

EXEMPT = re.compile(r"# tidy: \S.{9,}")
# Avoided in favour of the glossary's one word for the thing; the face also has the library's words.
AVOIDED_VERBS = {"do", "handle", "manage", "process", "save"}
AVOIDED_NOUNS = {"chunk", "consumer", "excerpt"}
# Written in parts, so that this file does not contain them.
BANNED_TEXTS = {
    "a path of one machine": re.compile(r"(?<![\w.~/-])/(?:work|root|tmp/v)" + r"/"),
    "a file outside the repository": re.compile(r"\.\./" + r"shared\b"),
    "an unfinished thought": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"),
}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def project_files() -> list[Path]:
    """List the files that are, or with the next commit would be, part of the project."""
    if not (ROOT / ".git").exists():
        return []  # an unpacked source archive: it was checked before it was packed
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = {ROOT / name for name in listed.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


FILES = project_files()
SOURCES = [path for path in FILES if path.suffix == ".py"]
PACKAGE_SOURCES = [path for path in SOURCES if path.is_relative_to(ROOT / PACKAGE)]

pytestmark = pytest.mark.skipif(not FILES, reason="not a git repository")


def refuse(paths: Iterable[Path], check: Callable[[str], Iterable[str]]) -> None:
    """Fail, naming file and fault, if a check finds anything in the text of the files."""
    found = [
        f"{path.relative_to(ROOT).as_posix()} {fault}"
        for path in paths
        for fault in check(path.read_text("utf-8"))
    ]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def layer_of(path: Path) -> str:
    """Name the package's top-level unit to which a file belongs."""
    return path.relative_to(ROOT / PACKAGE).parts[0]


def functions(tree: ast.AST) -> Iterator[FunctionNode]:
    """Yield all functions and methods, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, FunctionNode))


def exempt(source: str, line: int) -> bool:
    """Say whether a line (counted from 1) gives a reason to break a rule."""
    return EXEMPT.search(source.splitlines()[line - 1]) is not None


def long_functions(source: str) -> Iterator[str]:
    """Yield the functions that are too long, docstring not counted: a contract is no complexity."""
    for function in functions(ast.parse(source)):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        match function.body[0]:
            case ast.Expr(value=ast.Constant(value=str()), lineno=first, end_lineno=last):
                lines -= (last or first) - first + 1
        if lines > FUNCTION_LINES_MAX and not exempt(source, function.lineno):
            yield f"line {function.lineno}: {function.name} has {lines} lines"


def banned_calls(source: str, *, may_print: bool, may_sleep: bool) -> Iterator[str]:
    """Yield what could hide an error, run data as code, wait for time or talk over the user."""
    banned = {"eval", "exec", "compile", "breakpoint"}
    banned |= set() if may_print else {"print"}
    banned |= set() if may_sleep else {"time.sleep", "sleep"}
    for node in ast.walk(ast.parse(source)):
        fault = ""
        match node:
            case ast.Call(func=ast.Name() | ast.Attribute() as func):
                if ast.unparse(func) in banned:
                    fault = f"calls {ast.unparse(func)}"
            case ast.Import(names=names) | ast.ImportFrom(module="pickle", names=names):
                origin = getattr(node, "module", None)
                if "pickle" in {origin, *(alias.name for alias in names)}:
                    fault = "imports pickle"
            case ast.ExceptHandler(type=None):
                fault = "has a bare except"
            case ast.ExceptHandler(
                type=ast.Name(id="Exception" | "BaseException"),
                body=[ast.Pass() | ast.Expr(value=ast.Constant())],
            ):
                fault = "swallows every error"
        if fault and not exempt(source, line := getattr(node, "lineno", 1)):
            yield f"line {line}: {fault}"


def avoided_words(source: str) -> Iterator[str]:
    """Yield functions and classes named by a word for which the glossary has another."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, FunctionNode | ast.ClassDef) and not exempt(source, node.lineno):
            words = re.findall(r"[A-Z]?[a-z]+", node.name)
            verb = {words[0].lower()} if words and isinstance(node, FunctionNode) else set()
            nouns = {word.lower().removesuffix("s") for word in words}
            if verb & AVOIDED_VERBS or nouns & AVOIDED_NOUNS:
                yield f"line {node.lineno}: {node.name}"


def undocumented_tests(source: str) -> Iterator[str]:
    """Yield tests without a docstring."""
    for function in functions(ast.parse(source)):
        if function.name.startswith("test_") and not ast.get_docstring(function):
            yield f"line {function.lineno}: {function.name}"


def banned_texts(text: str) -> Iterator[str]:
    """Yield what must not be published, or published unfinished."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in BANNED_TEXTS.items():
            if pattern.search(line):
                yield f"line {number}: {what}"


def test_a_file_has_one_subject() -> None:
    """No file is longer than 600 lines."""

    def check(source: str) -> Iterator[str]:
        lines = len(source.splitlines())
        if lines > FILE_LINES_MAX:
            yield f"has {lines} lines"

    refuse(SOURCES, check)


def test_most_files_of_the_package_are_short() -> None:
    """Half of the package's files have fewer than 200 lines."""
    lines = [len(path.read_text("utf-8").splitlines()) for path in PACKAGE_SOURCES]
    assert statistics.median(lines) < PACKAGE_FILE_LINES_MEDIAN_MAX


def test_a_function_fits_on_a_page() -> None:
    """No function is longer than 70 lines."""
    refuse(SOURCES, long_functions)


@pytest.mark.parametrize("layer", sorted({layer_of(path) for path in PACKAGE_SOURCES}))
def test_no_banned_call(layer: str) -> None:
    """The package hides no error and runs no data; only cli prints, only files/ sleeps."""
    paths = [path for path in PACKAGE_SOURCES if layer_of(path) == layer]
    check = functools.partial(banned_calls, may_print=layer == "cli", may_sleep=layer == "files")
    refuse(paths, check)


def test_names_come_from_the_glossary() -> None:
    """One word for one thing, except where a module has to speak the library's language."""
    library = re.compile(r"^\s*(?:from|import) eventsourcing\b", re.MULTILINE)
    ours = [path for path in PACKAGE_SOURCES if not library.search(path.read_text("utf-8"))]
    refuse(ours, avoided_words)


def test_a_module_says_what_it_is_for() -> None:
    """Every module that is not empty has a docstring."""

    def check(source: str) -> Iterator[str]:
        if source.strip() and not ast.get_docstring(ast.parse(source)):
            yield "has no docstring"

    refuse(SOURCES, check)


def test_a_test_says_what_it_shows() -> None:
    """Every test has a docstring."""
    tests = [path for path in SOURCES if path.is_relative_to(ROOT / "tests")]
    refuse(tests, undocumented_tests)


def test_no_text_that_must_not_be_published() -> None:
    """No file names this machine's directories or carries a note to finish something later."""
    texts = [path for path in FILES if b"\0" not in path.read_bytes()]
    refuse(texts, banned_texts)


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "import time\ntime.sleep(1)",
        "from time import sleep\nsleep(1)",
        "eval('1')",
        "import pickle",
        "from pickle import loads",
        "try:\n    f()\nexcept:\n    raise",
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept BaseException as error:\n    ...",
    ],
)
def test_banned_calls_are_noticed(source: str) -> None:
    """The check sees each kind of banned call, and a reason at the end of the line excuses it."""
    (fault,) = banned_calls(source, may_print=False, may_sleep=False)
    lines = source.splitlines()
    line = int(re.findall(r"\d+", fault)[0]) - 1
    lines[line] += "  # tidy: a reason of some length"
    assert not list(banned_calls("\n".join(lines), may_print=False, may_sleep=False))


def test_long_functions_are_noticed() -> None:
    """The check counts the lines of code and signature, not those of the docstring."""
    docstring = '    """One.\n\n    Two.\n    """\n'
    longest = "def f():\n" + docstring + "    pass\n" * (FUNCTION_LINES_MAX - 1)
    assert list(long_functions(longest)) == []
    assert list(long_functions(longest + "    pass\n")) == ["line 1: f has 71 lines"]


def test_avoided_words_undocumented_tests_and_banned_texts_are_noticed() -> None:
    """The remaining checks see what they look for, and nothing else."""
    source = (
        "class RecordConsumer:\n    def handle_record(self): ...\n    def record_handle(self): ..."
    )
    assert len(list(avoided_words(source))) == 2
    assert (
        len(list(undocumented_tests("class T:\n    def test_x(self): ...\ndef helper(): ..."))) == 1
    )
    machine, parent, later = "/wo" + "rk/x", "../sha" + "red", "TO" + "DO"
    assert len(list(banned_texts(f"see {machine}\n{parent}/y\n# {later} z"))) == 3
    assert not list(banned_texts(f"https://example.org{machine}\n~{machine}\nworks/x"))
