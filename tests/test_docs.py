"""Every snippet of the README and of docs/ runs, every command ends as it says, every link leads somewhere.

A page is run from top to bottom in a folder of its own:

- ```python is executed in the page's namespace, or checked by doctest where it has `>>>`. A block whose first line is
  `# NAME.py` is a file of that name instead, for the blocks and commands after it.
- ```console has commands after `$ ` and below each what it prints (`...` stands for anything); ```sh has commands
  alone. Each must end with exit code 0, or with that of a comment: `# exit code 2`. Those of the README are run by a
  shell, the others in this process, which saves the seconds of importing torch.
- Other blocks are for the reader only.
"""

import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from elman.cli.app import run

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SET_UP = "python3 -m venv "
SECONDS = 300
PLAIN = {"OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONUTF8": "1"}


@dataclass(frozen=True)
class Block:
    """The lines between two fences: their language, and the number of the first of them."""

    language: str
    line: int
    text: str


def blocks_of(page: Path) -> list[Block]:
    blocks, language, first = [], None, 0
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.startswith("```"):
            continue
        if language is None:
            language, first = line[3:].strip(), number + 1
        else:
            blocks.append(Block(language, first, "\n".join(lines[first - 1 : number - 1]) + "\n"))
            language = None
    assert language is None, f"{page.name}:{first - 1}: a block without an end"
    unknown = [f"{page.name}:{block.line - 1}: {block.language}" for block in blocks if block.language not in RUNNERS]
    assert not unknown, f"these languages are not run: {unknown}"
    return blocks


def run_python(page: Path, block: Block, names: dict[str, Any]) -> None:
    file = re.match(r"# (\w+\.py)\n", block.text)
    if file:
        Path(file[1]).write_text(block.text, encoding="utf-8")
    elif ">>>" in block.text:
        check_doctest(page, block, names)
    else:
        # Blank lines before it give tracebacks the page's own line numbers.
        code = "\n" * (block.line - 1) + block.text
        exec(compile(code, str(page), "exec"), names)


def check_doctest(page: Path, block: Block, names: dict[str, Any]) -> None:
    test = doctest.DocTestParser().get_doctest(block.text, names, page.name, str(page), block.line - 1)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS).run(test, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    names.update(test.globs)


def run_console(page: Path, block: Block, names: dict[str, Any]) -> None:
    for line, command, shown in commands_of(block):
        said = run_command(page, line, command)
        if shown.strip():
            equal = doctest.OutputChecker().check_output(shown, said, DOCTEST_OPTIONS)
            assert equal, f"{page.name}:{line}: {command}\nshould print\n{shown}\nand prints\n{said}"


def commands_of(block: Block) -> Iterator[tuple[int, str, str]]:
    """Each command of a console block: its line, what is typed, what it prints."""
    starts = [match.start() for match in re.finditer(r"^\$ ", block.text, re.MULTILINE)]
    assert starts[:1] == [0], f"line {block.line}: a console block begins with `$ `"
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        typed = re.match(r"\$ ((?:.*\\\n)*.*\n)", block.text[start:end])
        assert typed is not None
        line = block.line + block.text[:start].count("\n")
        yield line, typed[1].strip(), block.text[start:end][typed.end() :]


def run_shell(page: Path, block: Block, names: dict[str, Any]) -> None:
    for number, command in enumerate(block.text.splitlines(), start=block.line):
        # The two that make a virtual environment are run on a fresh machine, the second by .ci/run.
        is_set_up = page == README and command.startswith(SET_UP)
        if command and not is_set_up and not command.startswith("#"):
            run_command(page, number, command)


def run_command(page: Path, line: int, command: str) -> str:
    """Run an `elman` command, and return what it prints to both streams, in order."""
    where = f"{page.name}:{line}: {command}"
    assert command.startswith("elman "), f"{where}\nonly commands of elman are run; show others in a plain block"
    code, said = (run_in_shell if page == README else run_here)(command)
    promised = re.search(r"# exit code (\d+)$", command)
    expected = int(promised[1]) if promised else 0
    assert code == expected, f"{where}\nends with exit code {code}, not {expected}:\n{said}"
    return said


def run_in_shell(command: str) -> tuple[int, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        command,
        shell=True,
        env=os.environ | PLAIN | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
    )
    return done.returncode, done.stdout


def run_here(command: str) -> tuple[int, str]:
    """Run the command in this process; it must be one that needs no shell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    _, *words = lexer
    assert not any(set(word) <= set(lexer.punctuation_chars) or set(word) & set("*$`") for word in words), command
    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with redirect_stdout(said), redirect_stderr(said), mock.patch.dict(os.environ, PLAIN):
        code = run(words)
    said.seek(0)
    return code, said.read()


def ignore(page: Path, block: Block, names: dict[str, Any]) -> None:
    """A block for the reader only."""


RUNNERS = {"python": run_python, "console": run_console, "sh": run_shell, "": ignore}


def run_page(page: Path) -> None:
    """Run all the blocks of a page, in the current folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        RUNNERS[block.language](page, block, names)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A current folder of its own, from which modules can be imported as by a script in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if name not in before and Path(getattr(module, "__file__", None) or "/").parent == tmp_path:
            del sys.modules[name]


def require(page: Path) -> None:
    if not page.is_file():
        pytest.skip(f"{page.name} is not written yet")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_snippets_of_a_page_run(page: Path, empty_folder: Path):
    require(page)
    run_page(page)


def prose_of(page: Path) -> str:
    """The page without its blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def headings_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    titles = re.findall(r"^#+ +(.+?) *$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path):
    require(page)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path) if path else page
        if not goal.exists() or (anchor and anchor not in headings_of(goal)):
            broken.append(target)
    assert not broken, f"{page.name} has links that lead nowhere: {broken}"


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in PAGES if page.parent.name == "docs" and page.name != "README.md"}
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)\)", index))


def test_ci_runs_the_second_set_up_command_of_the_readme():
    require(README)
    lines = [
        line
        for block in blocks_of(README)
        if block.language == "sh"
        for line in block.text.splitlines()
        if line.startswith(SET_UP)
    ]
    assert len(lines) == 2
    assert lines[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


# What follows holds this file to its word: a page with a mistake must fail.


WRONG_PAGES = {
    "exception": "```python\n1 / 0\n```\n",
    "assertion": "```python\nassert False\n```\n",
    "printed": "```python\n>>> 1 + 1\n3\n```\n",
    "missing name": "```python\nmissing\n```\n",
    "unknown language": "```python no-run\n1\n```\n",
    "no end": "```python\n1\n",
    "exit code": "```console\n$ elman --no-such-flag\n```\n",
    "exit code promised": "```sh\nelman --version  # exit code 2\n```\n",
    "output": "```console\n$ elman --version\nsomething else\n```\n",
    "other command": "```sh\nls\n```\n",
    "pipe": "```sh\nelman --version | cat\n```\n",
    "pattern": "```sh\nelman --version *\n```\n",
}


@pytest.mark.parametrize("text", WRONG_PAGES.values(), ids=WRONG_PAGES)
def test_a_page_with_a_mistake_fails(text: str, empty_folder: Path):
    page = empty_folder / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises((AssertionError, ZeroDivisionError, NameError)):
        run_page(page)


def test_names_and_files_last_from_block_to_block(empty_folder: Path):
    page = empty_folder / "page.md"
    page.write_text(
        "```python\n# mine.py\none = 1\n```\n```python\nfrom mine import one\n```\n"
        "```python\n>>> two = one + one\n>>> two\n2\n```\n```python\nassert two == 2\n```\n"
        "```console\n$ elman --version\nelman ...\n$ elman --no-such-flag  # exit code 2\n```\n",
        encoding="utf-8",
    )
    run_page(page)
