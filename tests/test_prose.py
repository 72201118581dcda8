"""The prose of the package and its pages: plain words, and docstrings that begin with a verb.

What is read are the docstrings, comments and strings of `src` and the text of `docs`, README and CONTRIBUTING; names
are not. A word with a technical use is allowed in that use.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = sorted((ROOT / "src").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# Each with the words to write in its stead.
BANNED = {
    r"\b(?:tells?|told|telling)\b": "says, reports, shows, distinguishes, predicts",
    r"\b(?:judges?|judged|judging)\b": "evaluate, score, compare, reference",
    r"\bcame\b": "got",
    r"\btaken for\b": "read as, predicted as",
    r"\b(?:whoever|nobody|somebody|someone|whatever|one's own)\b": "the caller, the user, another process, any",
    r"(?<!there )\b(?:is|are|was|were) no (?!longer|more|less|larger|smaller|wider|one)\b": "is not, are not",
    r"\bfrom (?:one|two|three|\d+) on\b": "at least two",
    r"\b(?:is|are|was|were) not there\b": "missing",
    r"(?<!in )(?<!in-)(?<!decimal )(?<!takes its )(?<!take its )\bplaces?\b": "position, index, path, in `x`",
    r"\b(?:stands|stand|stood) (?:in|at|on|below|above|beside|there|here)\b": "is",
    r"\b(?:lies|lie|lay) (?:in|at|on|below|above|beside|between|there|here)\b": "is",
    r"\bdoors?\b": "entry point, public function",
}
LONGEST_FIRST_LINE = 90
NOT_VERBS = re.compile(
    r"(?:An?|The|What|Whether|How|Which|Where|When|If|As|This|That|These|Those|Each|Every|All|Its?|Their|Of|In|On|By|"
    r"From|For|With|Whose|Who|Several|Two|Both|No|Not|Same|Names?|Part|Everything|Text|Numbers?|Values?)\b"
)


def texts_of(path):
    """The lines of a file that people read, each with its number."""
    source = path.read_text()
    if path.suffix == ".md":
        return [(number, re.sub(r"`[^`]*`", "``", line)) for number, line in enumerate(source.splitlines(), 1)]
    kinds = (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1))
    found = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type in kinds]
    return [(token.start[0] + i, line) for token in found for i, line in enumerate(prose_of(token.string).split("\n"))]


def prose_of(token):
    """A comment or string without the expressions of an f-string and without examples in backquotes."""
    written = re.sub(r"\{[^{}\n]*\}", "{}", token) if re.match(r"[rR]?[fF]", token) else token
    return re.sub(r"`[^`\n]*`", "``", written)


def functions_of(path):
    """The functions of a file with a docstring, properties left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
            marks = " ".join(ast.unparse(each) for each in node.decorator_list)
            if "property" not in marks and "setter" not in marks:
                yield node


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CODE + PAGES, ids=relative)
def test_words_that_a_native_writer_would_not_use(path):
    wrong = [
        f"{relative(path)}:{number}: {match[0]!r}, better: {better}: {line.strip()}"
        for number, line in texts_of(path)
        for banned, better in BANNED.items()
        for match in re.finditer(banned, line, re.IGNORECASE)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_docstrings_begin_with_a_verb_and_stay_short(path):
    wrong = []
    for node in functions_of(path):
        first = ast.get_docstring(node).split("\n")[0]
        if len(first) > LONGEST_FIRST_LINE or ";" in first or NOT_VERBS.match(first):
            wrong.append(f"{relative(path)}:{node.lineno}: {node.name}: {first}")
    assert not wrong, "\n".join(wrong)
