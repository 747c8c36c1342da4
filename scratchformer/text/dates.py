"""Dates in many written forms, and where each has its day, month and year."""

from collections.abc import Callable
from datetime import date
from string import Formatter
from typing import NamedTuple

# fmt: off
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"}
ORDINALS |= {"twelve": "twelfth", "twenty": "twentieth", "thirty": "thirtieth"}

FIELDS: dict[str, tuple[str, Callable[[date], str]]] = {
    "day": ("d", lambda day: str(day.day)),
    "day_02": ("d", lambda day: f"{day.day:02}"),
    "day_th": ("d", lambda day: ordinal(day.day)),
    "day_word": ("d", lambda day: ordinal_word(day.day)),
    "month": ("m", lambda day: MONTHS[day.month - 1]),
    "mon": ("m", lambda day: MONTHS[day.month - 1][:3]),
    "month_02": ("m", lambda day: f"{day.month:02}"),
    "roman": ("m", lambda day: ROMAN[day.month - 1]),
    "year": ("y", lambda day: str(day.year)),
    "year_02": ("y", lambda day: f"{day.year % 100:02}"),
    "century": ("y", lambda day: f"{day.year // 100}00s"),
    "year_words": ("y", lambda day: year_in_words(day.year)),
    "weekday": (".", lambda day: WEEKDAYS[day.weekday()]),
    "wkd": (".", lambda day: WEEKDAYS[day.weekday()][:3]),
}
"""For each field of a form: the part of the date that it writes (d, m, y, or . for none), and how."""
DATE_FORMS = (
    "{day} {month} {year}",
    "{day_02} {mon} {year}",
    "{month} {day}, {year}",
    "{mon} {day}, {year}",
    "{weekday}, {day} {month} {year}",
    "{wkd} {day} {mon} {year}",
    "{weekday}, {day_th} of {month} {year}",
    "{day_th} {month} {year}",
    "the {day_word} of {month}, {year}",
    "{month} the {day_word}, {year}",
    "{year}, {month} the {day_word}",
    "{year} {month} {day}",
    "{day_02}-{mon}-{year}",
    "{day_02}{mon}{year}",
    "{day}.{roman}.{year}",
    "{year}/{month_02}/{day_02}",
    "{year}{month_02}{day_02}",
    "{day} {mon} '{year_02} ({century})",
    "{month} {day_th}, {year_words}",
    "{day} {month} {year_words}",
)
"""What they write is unique among the days from 1900 to 2099: no other day has the same text in any form."""


class WrittenDate(NamedTuple):
    """A written date. `parts` marks each character of `text`: d, m or y for day, month or year, and . for the rest."""

    text: str
    parts: str
    iso: str


def write_date(day: date, form: str, case: Callable[[str], str] = str) -> WrittenDate:
    """Writes a date in a form such as those of `DATE_FORMS`, with fields of `FIELDS`.

    `case` is `str`, `str.upper` or `str.lower`. Names are English in every locale.
    Raises KeyError for an unknown field.
    """
    text = parts = ""
    for between, field, _, _ in Formatter().parse(form):
        text, parts = text + between, parts + "." * len(between)
        if field is not None:
            part, in_words = FIELDS[field]
            text, parts = text + in_words(day), parts + part * len(in_words(day))
    return WrittenDate(case(text), parts, day.isoformat())


def number_word(number: int) -> str:
    """The word of a number from 0 to 99, such as eighty-four."""
    if number < len(ONES):
        return ONES[number]
    return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")


def ordinal_word(number: int) -> str:
    """The ordinal of 1 to 31 as a word, such as twenty-third."""
    *tens, last = number_word(number).split("-")
    return "-".join([*tens, ORDINALS.get(last, f"{last}th")])


def ordinal(number: int) -> str:
    """The ordinal of 1 to 31, such as 23rd."""
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def year_in_words(year: int) -> str:
    """A year as it is spoken: nineteen hundred, nineteen oh-seven, two thousand and seven, twenty twenty-one."""
    century, rest = divmod(year, 100)
    if century == 20 and rest < 10:
        return "two thousand" + (f" and {number_word(rest)}" if rest else "")
    return f"{number_word(century)} " + ("hundred" if not rest else "oh-" * (rest < 10) + number_word(rest))
