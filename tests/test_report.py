"""The report is one page that needs nothing else, and shows data as text, whatever the data is."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from elman.report.answers import Explained, Reliability
from elman.report.page import write_page
from elman.report.parts import Confusion, Curve, Examples, Numbers, Part, share_interval
from elman.report.plots import Panel, Plot, Trace
from elman.tasks.baselines import BaselineScore, beside
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


EXPLAINED = Explained(
    "Worst mistakes",
    ("text", "truth", "answer", "probability"),
    [("not bad", "good", "bad", "97.0%"), (EVIL, EVIL, EVIL, "50.0%")],
    "A note.",
    [[("not", -0.5), (" ", 0.0), ("bad", 2.0)], [(EVIL, 1.0)]],
)


def test_words_that_spoke_for_an_answer_are_coloured_and_escaped(tmp_path: Path):
    write_page(tmp_path / "report.html", title="words", parts=[EXPLAINED], settings={})
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    marked = '<span class="word {}" style="--share: {}">{}</span>'
    assert f"{marked.format('right', '0.25', 'not')} {marked.format('wrong', '1.00', 'bad')}" in html
    shown = Page(html)
    assert "script" not in shown.tags
    assert "img" not in shown.tags
    assert shown.text.count(EVIL) == 3
    assert len(re.findall(r'class="word wrong"', html)) == 3


def test_words_that_spoke_for_an_answer_have_plain_lines():
    assert list(EXPLAINED.lines())[:3] == ["not bad", "  answer bad (97.0%): bad 2.00", "  truth  good: not 0.50"]
    assert list(Explained("t", ("text",), [], pieces=[]).lines()) == []


def test_worst_mistakes_are_explained_for_the_answer_against_the_truth():
    asked = []

    def explain(text, answer, truth):
        asked.append((text, answer, truth))
        return [(text, 1.0)]

    rows = [mistake("a", "x", "y", 0.6), mistake("b", "y", "y", 0.9), mistake("c", "x", "y", 0.8)]
    found = worst_mistakes(Found({}, iter(rows), explain=explain))
    assert isinstance(found, Explained)
    assert asked == [("c", "y", "x"), ("a", "y", "x")]
    assert found.pieces == [[("c", 1.0)], [("a", 1.0)]]


def test_the_reliability_shows_bins_that_have_answers(tmp_path: Path):
    bins = [(8, 0.62, 0.75), (0, 0.0, 0.0), (4, 0.9, 0.25)]
    part = Reliability(list(zip(("53–60%", "60–67%", "87–93%"), bins, strict=True)), "A remark.")
    write_page(tmp_path / "report.html", title="words", parts=[part], settings={})
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<span style="width: 75.0%"></span><i style="left: 62.0%"></i>' in html
    assert "87–93%" in html
    assert "60–67%" not in html
    assert "A remark." in html


def test_a_classifier_reports_its_reliability_and_its_temperature():
    label = Label()
    label.load({"labels": EVALUATION["labels"]})
    task = Classify(ClassifierSettings(), {"label": label})
    task.temperature = 1.7
    reliability = [(0, 0.0, 0.0)] * 14 + [(725, 0.95, 0.84)]
    scores = {**EVALUATION, "calibration_error": 0.02, "calibration_error_before": 0.11, "reliability": reliability}
    part = task.report(Found(scores))[2]
    assert isinstance(part, Reliability)
    assert part.filled == [("93–100%", 725, 0.95, 0.84)]
    assert part.remark.startswith("The expected calibration error is 2.0%; it is 11.0% without the temperature of 1.70")


def test_baselines_are_beside_the_first_score():
    accuracy = Classify.metrics[0]
    found = [
        BaselineScore("majority", "always giving the most frequent label", accuracy, 0.7048, 0.0),
        BaselineScore("linear", "a linear model of words", accuracy, 0.801, 1.25),
    ]
    task = Classify(ClassifierSettings())
    first, second = beside(
        [Numbers([("accuracy", "84.4%", ""), ("loss", "0.3", "")], 0.844, 0.7), EXPLAINED], task, found
    )
    assert isinstance(first, Numbers)
    assert [row[:2] for row in first.rows] == [("accuracy", "84.4%"), ("linear baseline", "80.1%"), ("loss", "0.3")]
    assert first.rows[1][2] == "A linear model of words, in 1.2 s."
    assert (first.share, first.against, second) == (0.844, 0.7, EXPLAINED)
    assert beside([EXPLAINED], task, found) == [EXPLAINED]


def test_parts_have_lines_for_a_terminal():
    assert list(Numbers([("accuracy", "84.4%", "A note.")]).lines()) == ["accuracy  84.4%"]
    lines = list(Confusion(["no", "yes"], [[461, 50], [63, 151]]).lines())
    assert lines == ["truth \\ answer   no  yes", "no              461   50", "yes              63  151"]


@pytest.mark.parametrize(("accuracy", "count"), [(0.0, 10), (1.0, 10), (0.8441, 725), (1.0, 1)])
def test_the_interval_holds_the_accuracy_and_stays_within_0_and_1(accuracy: float, count: int):
    low, high = share_interval(accuracy, count)
    assert 0 <= low <= accuracy <= high <= 1
    assert low < high


def test_plots_are_drawn_into_the_page(tmp_path: Path):
    bands = Trace([0, 1, 2], [1, 2, 3], "forecast", low=[0, 1, 2], high=[2, 3, 4])
    forms = [Trace([0, 1], [1, 2], form=form, colour="validation") for form in ("points", "dashes", "bars")]
    plot = Plot("Residuals", [Panel("one", "true", "predicted", [bands, *forms]), Panel("two", "x", "y", [], True)])
    write_page(tmp_path / "page.html", title="t", parts=[plot], settings={})
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2
    for word in ("Residuals", "predicted", "forecast", "var(--validation)", "grid-column: 1 / -1"):
        assert word in page
    assert not list(plot.lines())
