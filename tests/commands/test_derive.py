import json
from dataclasses import replace
from pathlib import Path

import pytest

from scratchformer.commands import derive as derive_command
from scratchformer.derivations import Page, find_page, pages
from scratchformer.derivations.reader import site
from scratchformer.derivations.reader.figures import FIGURES
from tests.annotations import unchecked


def run(*arguments: str) -> None:
    with unchecked():
        derive_command.main(arguments)


def test_pages_are_listed_in_the_order_of_study(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[str(i), page.name] for i, page in enumerate(pages(), start=1)]
    question = "how does the loss change with one score, when every output depends on every score?"
    (softmax,) = [line for line in lines if line.split()[1] == "softmax"]
    assert softmax.split(maxsplit=2)[2] == f"Softmax: {question}"


def test_a_page_is_printed_with_what_its_checks_found(capsys: pytest.CaptureFixture[str]) -> None:
    run("softmax")
    out = capsys.readouterr().out
    text = find_page("softmax").text.replace("```math\n", "```math  (evaluated)\n")
    assert out.startswith(text)
    header, *rows, summary = out[len(text) :].strip().splitlines()
    assert header.split() == ["stage", "line", "checked", "worst", "error", "verdict"]
    name, line, *how, error, verdict = next(row for row in rows if "numerical derivative" in row).split()
    assert (name, *how, verdict) == ("dz", "numerical", "derivative", "right")
    assert text.splitlines()[int(line) - 1].startswith('check("dz"')
    assert 0 < float(error) < 1e-8
    assert any("wrong on purpose" in row and "6.7e-01" in row and row.endswith("off as stated") for row in rows)
    assert summary == f"{len(rows)} of {len(rows)} right; 31 of 31 members of formulas evaluated"


def test_parsed_formulas_are_written_as_plain_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("attention", "--json", str(tmp_path / "attention.json"))
    assert "51 of 57 members of formulas evaluated" in capsys.readouterr().out
    members = json.loads((tmp_path / "attention.json").read_text())
    lines = find_page("attention").text.splitlines()
    in_fences = [member for member in members if "dscale" not in member["left"]]  # that one is in prose, without LaTeX
    assert all(member["latex"].split()[0] in lines[member["line"] - 1] for member in in_fences)
    assert sum(member["is_marked"] and bool(member["reason"]) for member in members) == 6
    evaluated = [member for member in members if not member["is_marked"]]
    assert all(0 <= member["error"] < 1e-9 for member in evaluated)
    (stage_6, *_) = [member for member in evaluated if member["left"] == "Y_{ir}"]
    i, j, r = (["symbol", letter, []] for letter in "ijr")
    product = ["multiply", ["symbol", "P_bar", [i, j]], ["symbol", "V", [j, r]]]
    assert (stage_6["latex"], stage_6["parsed"]) == (r"\sum_j \bar{P}_{ij} V_{jr}", ["sum", "j", None, product])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("de = dy / z + dz", "de = dy / z", "de is wrong, its gradient is off by "),
        ("de = dy / z + dz", "de = dy / zz + dz", "NameError: name 'zz' is not defined"),
    ],
)
def test_a_wrong_page_ends_with_status_1_and_the_line(
    old: str, new: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = find_page("softmax")
    line = right.text[: right.text.index(old)].count("\n") + 1
    wrong = replace(right, text=right.text.replace(old, new))

    def find(name: str) -> Page:
        return wrong

    monkeypatch.setattr(derive_command, "find_page", find)
    with pytest.raises(SystemExit) as ended:
        run("softmax")
    said = f"{ended.value.code}\n{capsys.readouterr().err}"
    assert ended.value.code not in (0, None)
    assert f"softmax.md, line {line}: {message}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sofmax"], "there is no page 'sofmax'; did you mean 'softmax'?"),
        (["qqq"], "there is no page 'qqq'; run the command without a name to list all pages"),
        (
            ["softmax", "--html", "x"],
            "--html and --figures write all pages, and cannot be used with one page, 'softmax'",
        ),
        (["--json", "x"], "--json writes the formulas of one page, and needs its name"),
        (["--htm", "x"], "unknown option --htm; did you mean --html?"),
    ],
)
def test_bad_options_get_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"python -m scratchformer derive: error: {message}\n"


def test_figures_are_drawn_to_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FIGURES, "attention_scale")  # which takes longest
    monkeypatch.delitem(FIGURES, "layer_norm_projection")
    run("--figures", str(tmp_path / "new"))
    drawn = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert "softmax_jacobian.svg" in drawn
    told = [Path(line.removeprefix("figure: ")) for line in capsys.readouterr().out.splitlines()]
    assert sorted(path.name for path in told) == drawn
    assert all(path.is_file() for path in told)


@pytest.mark.parametrize(
    ("moment", "kept"),
    [
        ("_run", "nothing in SITE has changed"),
        ("_write", "every file in SITE is whole, but some are old or missing"),
    ],
)
def test_ctrl_c_says_what_the_site_holds_and_how_to_go_on(
    moment: str, kept: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(site, "_run", lambda pages: ["not run"] * len(pages))
    monkeypatch.setattr(site, moment, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("--html", str(tmp_path / "site"))
    said = f"stopped; {kept}; the same command writes the whole site\n".replace("SITE", str(tmp_path / "site"))
    assert capsys.readouterr().err == f"python -m scratchformer derive: {said}"
