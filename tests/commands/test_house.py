from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import grimp
import pytest

from scratchformer.commands import house
from tests.annotations import unchecked

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "scratchformer"
SVG = "{http://www.w3.org/2000/svg}"


def run(*arguments: str) -> None:
    with unchecked():
        house.main(arguments)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> ElementTree.Element:
    path = tmp_path_factory.mktemp("house") / "house.svg"
    run("--out", str(path))
    kept = ROOT / "experiments" / "figures" / "house.svg"
    again = f"python -m scratchformer house --out {kept.relative_to(ROOT)}"
    assert kept.read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), f"the package has changed: run {again}"
    return ElementTree.parse(path).getroot()


def test_its_floors_are_the_import_contract_and_hold_every_room() -> None:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    contract = settings["importlinter:contract:rooms"]["layers"].strip().replace("scratchformer.", "").splitlines()
    assert [" | ".join(floor) for floor in house.FLOORS] == contract
    assert sorted(sum(house.FLOORS, ())) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def test_it_shows_each_import_between_rooms(picture: ElementTree.Element) -> None:
    graph = grimp.build_graph("scratchformer", cache_dir=None)
    expected = set()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            rooms = importer.split(".")[1:2] + imported.split(".")[1:2]
            if len(set(rooms)) == 2 and set(rooms) <= set(sum(house.FLOORS, ())):
                expected.add(f"{rooms[0]} imports {rooms[1]}")
    dots = [title.text for title in picture.iterfind(f"{SVG}circle/{SVG}title")]
    assert len(dots) == len(set(dots))
    assert set(dots) == expected


def test_each_box_says_what_the_room_is_for_in_its_first_sentence(picture: ElementTree.Element) -> None:
    names = [element.text for element in picture.iterfind(f"{SVG}text[@class='name']")]
    assert names == list(sum(house.FLOORS, ()))
    said = " ".join(element.text or "" for element in picture.iterfind(f"{SVG}text"))
    assert f"optim {len(list((PACKAGE / 'optim').rglob('*.py')))} files Optimizers, " in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "house.png"], "--out must name an SVG file, such as house.svg, got house.png"),
        (["--out", "nowhere/house.svg"], "--out nowhere/house.svg: there is no folder nowhere"),
        (["--ouy", "house.svg"], "unknown option --ouy; did you mean --out?"),
    ],
)
def test_bad_options_get_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"python -m scratchformer house: error: {message}\n"
