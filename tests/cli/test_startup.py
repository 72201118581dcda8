"""What asks for help waits for nothing heavy."""

import subprocess
import sys

import pytest

HEAVY = ("optuna", "ray", "torch", "torchmetrics", "matplotlib", "numpy", "scipy", "sklearn")
PROBE = f"""
import sys
from elman.cli.app import run
code = run(sys.argv[1:])
loaded = [name for name in {HEAVY} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded or code else 0)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["-h"],
        ["--version"],
        [],
        ["demo", "--help"],
        ["train", "--help"],
        ["train", "classify", "--help"],
        ["train", "language", "--help"],
        ["search", "--help"],
        ["search", "classify", "--help"],
        ["evaluate", "--help"],
        ["predict", "--help"],
        ["generate", "--help"],
        ["summary", "--help"],
        ["recipe", "--help"],
        ["data", "--help"],
        ["data", "list"],
        ["data", "get", "--help"],
        ["recipe", "list", "--help"],
        ["recipe", "run", "--help"],
        ["doctor", "--help"],
        ["bench", "--help"],
        ["bench", "--list"],
        ["explain", "--help"],
    ],
)
def test_help_loads_nothing_heavy(words: list[str]):
    done = subprocess.run([sys.executable, "-c", PROBE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not done.stderr


def test_the_first_help_does_not_load_pydantic_either():
    # That of the sub-commands may: some versions of typer read their options with it.
    code = "import sys\nfrom elman.cli.app import run\nrun(['--help'])\nsys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    "statement",
    [
        "import elman",
        "import elman.cli",
        "from elman import cell, affine, parameter, tanh, Next, ElmanError",
        "import elman; elman.__version__; dir(elman)",
    ],
)
def test_the_package_and_the_words_of_cells_load_nothing_heavy(statement: str):
    names = (*HEAVY, "pydantic", "rich", "typer")
    code = f"{statement}\nimport sys\nsys.exit(', '.join(name for name in {names} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_every_public_name_is_there():
    import elman

    for name in elman._HOMES:
        assert getattr(elman, name) is not None
    assert set(elman._HOMES) <= set(dir(elman))


def test_every_word_of_the_cell_language_is_public():
    import elman
    from elman.compiler.language import WORDS

    for name, word in WORDS.items():
        assert getattr(elman, name) is word


def test_help_teaches_every_name_but_the_words_of_cells():
    import elman
    from elman.compiler.language import WORDS

    taught = {name for name in elman.__all__ if name not in WORDS and name not in ("Next", "Cell")}
    assert {name for name in taught if f"`{name}`" not in str(elman.__doc__)} == {"cell", "language"}
    assert "max" not in elman.__all__


def test_the_words_of_cells_are_a_module_too():
    from elman import language, tanh

    assert language.tanh is tanh


def test_an_unknown_name_is_an_attribute_error():
    import elman

    with pytest.raises(AttributeError, match="lstn"):
        elman.lstn  # noqa: B018


def test_python_m_elman_is_the_command():
    done = subprocess.run([sys.executable, "-m", "elman", "--version"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("elman ")
