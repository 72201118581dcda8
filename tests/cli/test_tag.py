"""`elman train tag`: files are read as the training file was, and unknown words are counted in one line."""

from pathlib import Path

SMALL = ("--hidden-size", 4, "--embedding", 4, "--epochs", 1, "--validation-fraction", 0)
ROWS = ["1\tThe\t_\tDET\tDT", "2\tdéer\t_\tNOUN\tNN", "3\tran\t_\tVERB\tVBD"]


def conllu(sentences: int) -> str:
    rest = "\t_" * 5
    return "".join("\n".join(row + rest for row in ROWS) + "\n\n" for _ in range(sentences))


def test_the_column_and_the_encoding_are_those_of_the_training_file(elman, tmp_path: Path):
    data = tmp_path / "a.conllu"
    data.write_bytes(conllu(3).encode("cp1252"))
    train = ("train", "tag", data, "--out", tmp_path / "m", *SMALL, "--column", "xpos")
    assert "--encoding" in elman(*train).err
    assert elman(*train, "--encoding", "cp1252").code == 0
    done = elman("evaluate", tmp_path / "m", data, "--json")
    assert (done.code, done.json["labels"]) == (0, ["DT", "NN", "VBD"]), done.err
    assert elman("evaluate", tmp_path / "m", data, "--column", "upos").code == 1
    assert elman("predict", tmp_path / "m", data).out.count("The déer ran\t") == 3


def test_unknown_words_are_counted_in_one_line_or_refused(elman, tmp_path: Path):
    data = tmp_path / "a.conllu"
    data.write_text(conllu(3))
    assert elman("train", "tag", data, "--out", tmp_path / "m", *SMALL).code == 0
    for command in (("predict", tmp_path / "m", "--text", "The zebra ran"), ("evaluate", tmp_path / "m", data)):
        done = elman(*command)
        assert ("1 of 3 words (33%) are not in the vocabulary" in done.err) == (command[0] == "predict")
    done = elman("predict", tmp_path / "m", "--text", "The zebra ran", "--unknown", "refuse")
    assert done.code == 1
    assert "--text The zebra ran: zebra" in done.err


def test_flags_of_tables_are_refused_for_a_tagger(elman, tmp_path: Path):
    data = tmp_path / "a.conllu"
    data.write_text(conllu(2))
    assert elman("train", "tag", data, "--out", tmp_path / "m", *SMALL).code == 0
    done = elman("predict", tmp_path / "m", data, "--separator", ",")
    assert done.code == 2
    assert "--separator: only for a classifier" in done.err


def test_answers_are_written_into_the_file_and_all_else_stays(elman, tmp_path: Path):
    data, out = tmp_path / "a.conllu", tmp_path / "out.conllu"
    data.write_text("# one\n1-2\tThe déer\t_\t_\t_" + "\t_" * 5 + "\n" + conllu(2))
    assert elman("train", "tag", data, "--out", tmp_path / "m", *SMALL).code == 0
    done = elman("predict", tmp_path / "m", data, "--fill", out)
    assert (done.code, done.out) == (0, f"{out}: 2 sentences\n"), done.err
    answers = [line.split("\t")[1].split() for line in elman("predict", tmp_path / "m", data).out.splitlines()]
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    assert [row[3] for row in lines if row[0].isdecimal()] == [tag for row in answers for tag in row]
    for row, given in zip(lines, data.read_text().splitlines(), strict=True):
        wanted = given.split("\t")
        assert row[:3] + row[4:] == wanted[:3] + wanted[4:]
    done = elman("predict", tmp_path / "m", data, "--fill", out, "--json")
    assert done.json == {"model": str(tmp_path / "m"), "written": str(out), "rows": 2}
    before = data.read_bytes()
    done = elman("predict", tmp_path / "m", data, "--fill", data)
    assert done.code == 2
    assert "would replace the file that is read" in done.err
    assert data.read_bytes() == before
    for wrong in (("--text", "The", "--fill", out), (data, "--fill", tmp_path / "missing" / "x")):
        assert elman("predict", tmp_path / "m", *wrong).code != 0


def test_spans_and_unknown_words_have_scores(elman, tmp_path: Path):
    rows = ("Ann\tB-PER\nLee\tI-PER\nslept\tO\n\n" * 6, "Ann\tB-PER\nLee\tI-PER\nwoke\tO\n\n")
    train, test = tmp_path / "train.tsv", tmp_path / "test.tsv"
    train.write_text(rows[0])
    test.write_text(rows[1])
    done = elman("train", "tag", train, "--out", tmp_path / "m", "--crf", *SMALL)
    assert done.code == 0, done.err
    assert "span F1" in done.out
    scores = elman("evaluate", tmp_path / "m", test, "--json").json
    for name in ("accuracy", "unknown_accuracy", "span_f1", "span_f1_strict", "loss", "macro_f1"):
        assert 0 <= scores[name] < 100
    assert scores["scheme"] == "iob2"
    assert elman("evaluate", tmp_path / "m", train, "--json").json["unknown_accuracy"] is None
    page = (tmp_path / "m" / "report.html").read_text()
    for said in ("Worst sentences", "Text with its tags", "strict span F1", "by the scheme IOB2"):
        assert said in page
