"""Written dates: what a form writes, that it can be read in one way only, and where its parts stand."""

import re
from calendar import day_name, month_abbr, month_name
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchformer.text.dates import (
    DATE_FORMS,
    MONTHS,
    number_word,
    ordinal,
    ordinal_word,
    write_date,
    year_in_words,
)

FIRST, LAST = date(1900, 1, 1), date(2099, 12, 31)
days = st.dates(FIRST, LAST)
YEAR_WORDS = {year_in_words(year): year for year in range(1900, 2100)}
ROMAN = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]


def number(text: str) -> int:
    """Of a day as numeral, ordinal or word."""
    words = {ordinal_word(day): day for day in range(1, 32)}
    return words[text] if text in words else int(re.sub("(st|nd|rd|th)$", "", text))


def year(text: str) -> int:
    if text in YEAR_WORDS:
        return YEAR_WORDS[text]
    if len(text) == 4:
        return int(text)
    rest, century = re.fullmatch(r"(\d\d)(\d\d)00s", text).groups()
    return 100 * int(century) + int(rest)


def month(text: str) -> int:
    if text in ROMAN:
        return 1 + ROMAN.index(text)
    return int(text) if text.isdigit() else [name[:3] for name in month_name].index(text[:3])


@given(day=days, form=st.sampled_from(DATE_FORMS))
def test_the_marked_parts_alone_say_which_day_it_is(day: date, form: str) -> None:
    text, parts, iso = write_date(day, form)
    assert len(text) == len(parts)
    assert set(parts) <= set("ymd.")
    assert iso == f"{day.year}-{day.month:02}-{day.day:02}"
    marked = {part: "".join(c for c, p in zip(text, parts, strict=True) if p == part) for part in "ymd"}
    assert (year(marked["y"]), month(marked["m"]), number(marked["d"])) == (day.year, day.month, day.day)


@given(day=days, form=st.sampled_from(DATE_FORMS))
def test_what_stands_beside_the_parts_is_the_weekday_and_filling(day: date, form: str) -> None:
    text, parts, _ = write_date(day, form)
    rest = "".join(c if p == "." else "_" for c, p in zip(text, parts, strict=True))
    names = {word for word in re.findall("[A-Za-z]+", rest) if word not in ("the", "of")}
    assert names <= {day_name[day.weekday()], day_name[day.weekday()][:3]}
    assert bool(names) == ("w" in form.partition(" ")[0])


@given(day=days, form=st.sampled_from(DATE_FORMS))
def test_case_changes_letters_and_nothing_else(day: date, form: str) -> None:
    text, parts, iso = write_date(day, form)
    assert write_date(day, form, str.upper) == (text.upper(), parts, iso)
    assert write_date(day, form, str.lower) == (text.lower(), parts, iso)
    assert text.isascii()


def test_no_two_days_have_one_text_in_any_form() -> None:
    said: dict[str, str] = {}
    for century in (1900, 2000):
        for i in range(2 * 365):  # of years 11 and 12, whose numbers are those of days and months
            for form in DATE_FORMS:
                text, _, iso = write_date(date(century + 11, 1, 1) + timedelta(i), form, str.lower)
                assert said.setdefault(text, iso) == iso


def test_the_third_of_march_2021() -> None:
    expected = [
        ("3 March 2021", "d.mmmmm.yyyy"),
        ("03 Mar 2021", "dd.mmm.yyyy"),
        ("March 3, 2021", "mmmmm.d..yyyy"),
        ("Mar 3, 2021", "mmm.d..yyyy"),
        ("Wednesday, 3 March 2021", "...........d.mmmmm.yyyy"),
        ("Wed 3 Mar 2021", "....d.mmm.yyyy"),
        ("Wednesday, 3rd of March 2021", "...........ddd....mmmmm.yyyy"),
        ("3rd March 2021", "ddd.mmmmm.yyyy"),
        ("the third of March, 2021", "....ddddd....mmmmm..yyyy"),
        ("March the third, 2021", "mmmmm.....ddddd..yyyy"),
        ("2021, March the third", "yyyy..mmmmm.....ddddd"),
        ("2021 March 3", "yyyy.mmmmm.d"),
        ("03-Mar-2021", "dd.mmm.yyyy"),
        ("03Mar2021", "ddmmmyyyy"),
        ("3.III.2021", "d.mmm.yyyy"),
        ("2021/03/03", "yyyy.mm.dd"),
        ("20210303", "yyyymmdd"),
        ("3 Mar '21 (2000s)", "d.mmm..yy..yyyyy."),
        ("March 3rd, twenty twenty-one", "mmmmm.ddd..yyyyyyyyyyyyyyyyy"),
        ("3 March twenty twenty-one", "d.mmmmm.yyyyyyyyyyyyyyyyy"),
    ]
    found = [write_date(date(2021, 3, 3), form) for form in DATE_FORMS]
    assert found == [(text, parts, "2021-03-03") for text, parts in expected]


def test_names_are_those_of_the_calendar() -> None:
    assert list(MONTHS) == list(month_name)[1:]
    assert [name[:3] for name in MONTHS] == list(month_abbr)[1:]


def test_numbers_in_words() -> None:
    assert [number_word(n) for n in (0, 7, 12, 13, 19, 20, 21, 40, 58, 99)] == [
        "zero", "seven", "twelve", "thirteen", "nineteen", "twenty", "twenty-one", "forty", "fifty-eight", "ninety-nine"
    ]  # fmt: skip
    assert len({number_word(n) for n in range(100)}) == 100
    words = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    words += "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third "
    words += "twenty-fourth twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
    assert " ".join(map(ordinal_word, range(1, 32))) == words
    assert " ".join(map(ordinal, range(1, 32))) == (
        "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th 11th 12th 13th 14th 15th 16th 17th 18th 19th 20th 21st 22nd 23rd "
        "24th 25th 26th 27th 28th 29th 30th 31st"
    )


@pytest.mark.parametrize(
    ("year", "words"),
    [
        (1900, "nineteen hundred"),
        (1907, "nineteen oh-seven"),
        (1910, "nineteen ten"),
        (1999, "nineteen ninety-nine"),
        (2000, "two thousand"),
        (2007, "two thousand and seven"),
        (2010, "twenty ten"),
        (2021, "twenty twenty-one"),
        (2099, "twenty ninety-nine"),
    ],
)
def test_years_in_words(year: int, words: str) -> None:
    assert year_in_words(year) == words
    assert len(YEAR_WORDS) == 200
