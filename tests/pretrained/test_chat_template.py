import json
import time
from datetime import datetime

import pytest

from scratchformer.pretrained.chat_template import check_messages, render

MESSAGES = [{"role": "user", "content": " Hi <b> é\n"}, {"role": "assistant", "content": "Ho"}]
RICH = """
{% macro shown(text) %}<{{ text | trim }}>{% endmacro %}
{% set ns = namespace(count=0) %}
{%- for message in messages %}
    {% if message['role'] == 'assistant' %}
        {% generation %}{{ shown(message.content) }}{% endgeneration %}
    {% else %}
        {{- message.role ~ ': ' ~ message['content'] | tojson }}
    {% endif %}
    {% set ns.count = ns.count + 1 %}
    {% if loop.last %}{% break %}{% endif %}
    {{ loop.index }}/{{ loop.length }}
{% endfor %}
{{ ns.count * 2 }} {{ messages | map(attribute='role') | join(',') }} {{ bos_token }} {{ nothing }}
{% if add_generation_prompt and tools is none %}A:{% endif %}
"""
VARIABLES = {"messages": MESSAGES, "add_generation_prompt": True, "bos_token": "<s>"}


def test_a_template_gives_what_it_gives_in_transformers():
    utils = pytest.importorskip(
        "transformers.utils.chat_template_utils", reason="transformers is not installed; pip install transformers"
    )
    (expected,), _ = utils.render_jinja_template(
        [MESSAGES], chat_template=RICH, add_generation_prompt=True, bos_token="<s>"
    )
    assert render(RICH, VARIABLES) == expected


def test_a_template_has_the_filters_tags_and_functions_of_transformers():
    assert render("{{ messages | tojson }}", VARIABLES) == json.dumps(MESSAGES, ensure_ascii=False)
    assert render("{{ strftime_now('%Y') }}", {}) == str(datetime.now().year)
    assert (
        render("{% for i in [1, 2, 3] %}\n  {% if i == 2 %}\n{% continue %}\n  {% endif %}\n{{ i }}\n{% endfor %}", {})
        == "1\n3\n"
    )
    assert render("{% generation %}x{% endgeneration %}", {}) == "x"


def test_a_template_can_refuse_the_messages():
    with pytest.raises(ValueError, match=r"^chat: the template refuses the messages: roles must alternate$"):
        render("{{ raise_exception('roles\nmust alternate') }}", {})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "it takes"),
        (
            "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
            "a text or list of",
        ),
        (
            "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "a text or list of",
        ),
        (
            "{% set n = namespace(s=[0]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
            "a text or list of",
        ),
        (
            "{% set n = namespace(k=9) %}{% for i in range(99) %}{% set n.k = n.k * n.k %}{% endfor %}",
            "more than 4096 bits",
        ),
        ("{{ 'a' * 10**10 }}", "a text or list of"),
        ("{{ 10**10 * 'a' }}", "a text or list of"),
        ("{{ 2 ** 10000000000 }}", "a power above 64"),
        ("{{ 'x' | center(10**10) }}", "a text or list of"),
        ("{{ 'x'.ljust(10**10) }}", "a text or list of"),
        ("{% set s = 'a' * 10**6 %}{{ s.replace('a', s) }}", "a text or list of"),
        ("{% set s = 'a' * 10**6 %}{{ s.translate({97: s}) }}", "a text or list of"),
        ("{% set s = 'a' * 10**6 %}{{ ''.join([s] * 1000) }}", "a text or list of"),
        (
            "{% set s = 'a' * 10**6 %}{% set t %}{% for i in range(9) %}{{ s }}{% endfor %}{% endset %}",
            "a text or list of",
        ),
        ("{{ '%1000000000d' | format(1) }}", "a width above 999"),
        ("{{ '%*d' % (10**9, 1) }}", "a width above 999"),
        ("{{ '{:>{}}'.format(1, 10**9) }}", "a width above 999"),
        ("{{ '{a:>9999999}'.format_map({'a': 1}) }}", "a width above 999"),
        ("{{ [1] | slice(10**10) | list }}", "a text or list of"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
            "it takes",
        ),
        ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "nested too deeply"),
        ("{{ ''.__class__.__mro__ }}", "'__class__' of 'str' object is unsafe"),
        ("{{ ('' | attr('__class__')).mro() }}", "'__class__' of 'str' object is unsafe"),
        ("{{ cycler.__init__.__globals__ }}", "'__init__' of 'type' object is unsafe"),
        ("{{ messages.append(1) }}", "'append' of 'list' object is unsafe"),
        ("{% include 'x' %}", "no loader"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{% for %}", "Expected an expression"),
        ("{{ lipsum(1000) }}", "'lipsum' is undefined"),
    ],
)
def test_a_template_that_runs_wild_ends_in_one_sentence(source: str, reason: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scratchformer.pretrained.template_limits.MOST_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"^chat: the template failed: [^\n]+$") as error:
        render(source, VARIABLES)
    assert reason in str(error.value)
    assert time.monotonic() - started < 10


def test_a_template_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"^chat: the template has 262145 characters, expected at most 262144$"):
        render("x" * (2**18 + 1), {})


@pytest.mark.parametrize(
    ("messages", "error", "reason"),
    [
        ("Hi", TypeError, "messages must be a list of messages, got str"),
        ({"role": "user", "content": "Hi"}, TypeError, "messages must be a list of messages, got dict"),
        ([], ValueError, "messages must hold at least one message, got none"),
        (["Hi"], TypeError, "messages[0] must be a mapping, got str"),
        ([{"role": "user"}], ValueError, "messages[0] must have the keys role and content, got ['role']"),
        ([{"role": "user", "content": "", "tool_calls": []}], ValueError, "got ['content', 'role', 'tool_calls']"),
        ([{"role": 1, "content": "Hi"}], TypeError, "messages[0]['role'] must be a string, got int"),
        ([{"role": "user", "content": None}], TypeError, "messages[0]['content'] must be a string, got NoneType"),
    ],
)
def test_messages_are_checked(messages: object, error: type[Exception], reason: str, unchecked: None):
    with pytest.raises(error) as caught:
        check_messages("chat", messages)  # type: ignore[arg-type]
    assert str(caught.value).startswith("chat: messages")
    assert reason in str(caught.value)
