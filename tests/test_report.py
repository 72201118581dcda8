"""The report is one page that needs nothing else, and shows data as text, whatever the data is."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from elman.report.page import write_page
from elman.report.parts import Confusion, Curve, Examples, Numbers, Part, share_interval
from elman.tasks.classify import ClassifierSettings, Classify, worst_mistakes
from elman.tasks.kinds import Label
from elman.tasks.task import Answer, Found, Row
from elman.training.record import EpochRecord, History, curves_of

EVIL = '<script>alert("x")</script> & <img src="http://example.org/a.png"> {{ 7 * 6 }}'
EVALUATION = {
    "accuracy": 0.8441,
    "majority": 0.7048,
    "macro_f1": 0.8123,
    "loss": 0.3712,
    "count": 725,
    "labels": ["negative", "positive"],
    "confusion": [[461, 50], [63, 151]],
}
CURVES = [
    Curve("loss", {1: 0.6, 2: 0.4, 3: 0.3}, {1: 0.55, 2: 0.45, 3: 0.47}),
    Curve("accuracy", {1: 0.7, 2: 0.8, 3: 0.9}, {1: 0.7, 2: 0.79, 3: 0.78}),
]


class Page(HTMLParser):
    """What a browser would see: the tags, the addresses asked for, the text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.text += data


def mistake(text: str, truth: str, answer: str, probability: float) -> Row:
    return Row({"text": text, "label": truth}, Answer(answer, probability))


def parts(evaluation: dict, mistakes: list[Row]) -> list[Part]:
    label = Label()
    label.load({"labels": evaluation["labels"]})
    return Classify(ClassifierSettings(), {"label": label}).report(Found(evaluation, mistakes))


def page(tmp_path: Path, **changes) -> Page:
    evaluation = changes.pop("evaluation", EVALUATION)
    mistakes = changes.pop("mistakes", [mistake("sharper", "positive", "negative", 0.97)])
    arguments = {
        "title": "words",
        "parts": [*parts(evaluation, mistakes), *changes.pop("curves", CURVES)],
        "settings": {"cell": "lstm", "dense": (100, 50), "bidirectional": False, "patience": None, "rate": 1e-3},
        "command": "elman train classify words.csv --out words",
        **changes,
    }
    write_page(tmp_path / "report.html", **arguments)
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_page_shows_scores_beside_the_majority_rate(tmp_path: Path):
    text = page(tmp_path).text
    for part in ("84.4%", "70.5%", "81.2%", "0.3712", "725", "461", "151", "sharper", "97.0%", "100, 50", "0.001"):
        assert part in text
    assert "elman train classify words.csv --out words" in text


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path):
    shown = page(tmp_path, mistakes=[mistake(EVIL, "a", "b", 0.5)])
    assert all(address.startswith("#") for address in shown.addresses)
    assert not {"script", "img", "link", "iframe"} & set(shown.tags)
    html = (tmp_path / "report.html").read_text()
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_text_of_the_user_is_escaped_everywhere(tmp_path: Path):
    shown = page(
        tmp_path,
        title=EVIL,
        mistakes=[mistake(EVIL, EVIL + "!", EVIL, 0.5)],
        settings={EVIL: EVIL},
        facts={EVIL: EVIL},
        command=EVIL,
        evaluation={**EVALUATION, "labels": [EVIL, "positive"]},
    )
    assert "script" not in shown.tags
    assert "img" not in shown.tags
    assert shown.text.count(EVIL) == 12


def test_each_curve_is_drawn_with_both_lines(tmp_path: Path):
    shown = page(tmp_path, best_epoch=2)
    assert shown.tags.count("svg") == 2
    assert shown.text.count("validation") == 2
    assert "kept: epoch 2" in shown.text
    html = (tmp_path / "report.html").read_text()
    assert "var(--train)" in html
    assert "#0a0b0c" not in html


def test_names_inside_the_drawings_are_unique(tmp_path: Path):
    ids = page(tmp_path).ids
    assert ids
    assert len(ids) == len(set(ids))


def test_a_run_without_validation_has_one_line(tmp_path: Path):
    shown = page(tmp_path, curves=[Curve("loss", {1: 0.5}, {})])
    assert shown.tags.count("svg") == 1
    assert "validation" not in shown.text


def test_the_same_run_gives_the_same_page(tmp_path: Path):
    page(tmp_path)
    first = (tmp_path / "report.html").read_bytes()
    page(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == first


def test_the_curves_of_a_run_are_its_loss_and_its_metric():
    history = History("accuracy", True)
    for epoch, validation in ((1, {"loss": 0.6, "accuracy": 0.7, "macro_f1": 0.6}), (2, None)):
        history.epochs.append(EpochRecord(epoch, 0.5 / epoch, 0.4 * epoch, 1e-3, 10.0, 70.0, 1.0, validation))
    assert curves_of(history) == [
        Curve("loss", {1: 0.5, 2: 0.25}, {1: 0.6}),
        Curve("accuracy", {1: 0.4, 2: 0.8}, {1: 0.7}),
    ]


def test_nothing_to_show_is_said(tmp_path: Path):
    shown = page(tmp_path, curves=(), mistakes=(), command=None)
    assert "There are none to show" in shown.text
    assert "svg" not in shown.tags
    assert "Repeat" not in shown.text


def test_many_labels_become_the_most_confused_pairs(tmp_path: Path):
    labels = [f"label {n}" for n in range(50)]
    confusion = [[10 if a == b else 0 for a in range(50)] for b in range(50)]
    confusion[3][7] = 5
    shown = page(tmp_path, evaluation={**EVALUATION, "labels": labels, "confusion": confusion})
    assert "label 3" in shown.text
    assert "label 7" in shown.text
    assert "label 11" not in shown.text


def test_long_texts_are_cut(tmp_path: Path):
    shown = page(tmp_path, mistakes=[mistake("word " * 10_000, "a", "b", 0.9)])
    assert len(shown.text) < 20_000


def test_mistakes_are_the_surest_first():
    rows = [mistake("a", "x", "y", 0.6), mistake("b", "y", "y", 0.9), mistake("c", "x", "y", 0.8)]
    rows += [mistake(f"{number}", "x", "y", 0.5) for number in range(50)]
    found = worst_mistakes(Found({}, iter(rows)))
    assert isinstance(found, Examples)
    assert [tuple(row) for row in found.rows[:3]] == [
        ("c", "x", "y", "80.0%"),
        ("a", "x", "y", "60.0%"),
        ("0", "x", "y", "50.0%"),
    ]
    assert len(found.rows) == 30


def test_parts_have_lines_for_a_terminal():
    assert list(Numbers([("accuracy", "84.4%", "A note.")]).lines()) == ["accuracy  84.4%"]
    lines = list(Confusion(["no", "yes"], [[461, 50], [63, 151]]).lines())
    assert lines == ["truth \\ answer   no  yes", "no              461   50", "yes              63  151"]


@pytest.mark.parametrize(("accuracy", "count"), [(0.0, 10), (1.0, 10), (0.8441, 725), (1.0, 1)])
def test_the_interval_holds_the_accuracy_and_stays_within_0_and_1(accuracy: float, count: int):
    low, high = share_interval(accuracy, count)
    assert 0 <= low <= accuracy <= high <= 1
    assert low < high
