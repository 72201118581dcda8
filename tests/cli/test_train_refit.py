"""`elman train --refit`: the network is trained again on all data."""

from pathlib import Path

TEXTS = [f"a {('poor', 'fine', 'dull', 'good')[n % 4]} film , number {n % 7} of {n % 3}" for n in range(120)]
LABELS = ["good" if n % 2 else "bad" for n in range(120)]


def test_the_command_says_what_it_does(elman, tmp_path: Path):
    file = tmp_path / "films.csv"
    file.write_text("text,label\n" + "".join(f'"{text}",{label}\n' for text, label in zip(TEXTS, LABELS, strict=True)))
    flags = ("--refit", "--hidden-size", 6, "--embedding", 5, "--epochs", 2, "--out", tmp_path / "m")
    done = elman("train", "classify", file, *flags)
    assert done.code == 0, done.err
    assert "Training again on all data, for " in done.err
    assert "After the evaluation the network was trained again, on the validation data too." in done.out
    assert elman("train", "classify", file, *flags, "--resume").code == 0
