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
