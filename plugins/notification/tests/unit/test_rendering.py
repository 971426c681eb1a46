"""Templates come from people, values from strangers: neither reaches further than its place."""

from __future__ import annotations

from importlib.resources import files

import pytest

from notification.application.account_kinds import ACCOUNT_KINDS, LINKED_KINDS
from notification.application.catalogue import COMMON_SAMPLE, SAMPLE_LINK
from notification.contracts import InvalidTemplate, TemplateSource
from notification.hookspecs import read_templates
from notification.infrastructure.rendering import JinjaRenderer

BUILT_IN = read_templates(files("notification") / "templates", module="user_management")


def source(text: str = "Hello {{ name }}", subject: str = "Hi", html: str | None = None) -> TemplateSource:
    return TemplateSource(kind="a.b", channel="email", locale="en", subject=subject, text=text, html=html)


@pytest.fixture(scope="module")
def renderer() -> JinjaRenderer:
    return JinjaRenderer()


def test_every_kind_has_wording_in_english_and_german() -> None:
    there = {(template.kind, template.locale) for template in BUILT_IN if template.html}
    assert there == {(kind.name, locale) for kind in ACCOUNT_KINDS for locale in ("en", "de")}


@pytest.mark.parametrize("template", BUILT_IN, ids=lambda template: f"{template.kind}-{template.locale}")
def test_built_in_wording_renders_and_names_the_link(
    renderer: JinjaRenderer, template: TemplateSource
) -> None:
    secret = {"link": SAMPLE_LINK} if template.kind in LINKED_KINDS else {}
    renderer.check(template, COMMON_SAMPLE.keys(), secret.keys())
    rendered = renderer.render(template, COMMON_SAMPLE, secret)
    assert rendered.html is not None
    assert f'<html lang="{template.locale}">' in rendered.html
    assert "Maria Musterfrau" in rendered.text
    assert "Platform Core" in rendered.subject
    assert "{" not in rendered.subject + rendered.text
    assert ("token=" in rendered.text) == ("token=" in rendered.html) == bool(secret)


@pytest.mark.parametrize(
    ("attack", "line", "problem"),
    [
        ("{{ 7*7 }}", 1, "Mul is not allowed"),
        ("a\nb\n{{ config }}", 3, "there is no config here"),
        ("{{ name.__class__.__mro__ }}", 1, "Getattr is not allowed"),
        ("{{ name['__class__'] }}", 1, "Getitem is not allowed"),
        ("{{ name|attr('__class__') }}", 1, "the filter attr is not allowed"),
        ("{{ name|safe }}", 1, "the filter safe is not allowed"),
        ("{{ name.format(1) }}", 1, "Call is not allowed"),
        ("{{ 'x' * 10000000000 }}", 1, "Mul is not allowed"),
        ("{% for a in range(1000000000) %}{% endfor %}", 1, "for goes over one name"),
        ("{% for a in name %}{% for b in name %}{% endfor %}{% endfor %}", 1, "for inside for"),
        ("{% set x = 1 %}", 1, "Assign is not allowed"),
        ("{% include 'x' %}", 1, "Include is not allowed"),
        ("{% import 'os' as os %}", 1, "Import is not allowed"),
        ("{% macro m() %}{% endmacro %}", 1, "Macro is not allowed"),
        ("{{ self }}", 1, "there is no self here"),
        ("{{ cycler }}", 1, "there is no cycler here"),
        ("x\n{{ name", 2, "unexpected end"),
        ("{% if name %}", 1, "end of template"),
    ],
)
@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_what_is_no_wording_is_refused_with_its_line(
    renderer: JinjaRenderer, part: str, attack: str, line: int, problem: str
) -> None:
    with pytest.raises(InvalidTemplate) as refusal:
        renderer.check(source(**{part: attack}), {"name"})
    field = refusal.value.fields[0]
    assert field.pointer == f"/body/{part}"
    assert field.message.startswith(f"line {line}: ")
    assert problem.lower() in field.message.lower()


@pytest.mark.parametrize("attack", ["{{ 7*7 }}", "{{ name.__class__ }}", "{{ config }}", "{{ name|safe }}"])
def test_a_template_that_slipped_past_the_check_is_refused_when_rendered_too(
    renderer: JinjaRenderer, attack: str
) -> None:
    with pytest.raises(InvalidTemplate):
        renderer.render(source(attack), {"name": "Maria"})


@pytest.mark.parametrize(
    "text",
    ["{{ name|truncate('x') }}", "{% for x in count %}{% endfor %}", "{% if name < count %}{% endif %}"],
)
def test_what_does_not_suit_the_values_is_refused_with_its_line(renderer: JinjaRenderer, text: str) -> None:
    with pytest.raises(InvalidTemplate, match="line 2"):
        renderer.render(source(f"a\n{text}"), {"name": "Maria", "count": 3})


@pytest.mark.parametrize("value", ["{{ 7*7 }}", "{% include 'x' %}", "{{ config }}", "{{ ''.__class__ }}"])
def test_template_syntax_in_a_value_stays_what_it_is(renderer: JinjaRenderer, value: str) -> None:
    rendered = renderer.render(
        source("{{ name }}", "{{ name }}", "<p>{{ name }}</p>"), {**COMMON_SAMPLE, "name": value}
    )
    assert rendered.text == value
    assert rendered.subject == value
    assert "49" not in (rendered.html or "")


def test_values_are_escaped_in_html_and_only_there(renderer: JinjaRenderer) -> None:
    hostile = "<script>alert(1)</script>\"'"
    rendered = renderer.render(
        source("{{ name }}", html='<p title="{{ name }}">{{ name }}</p>'), {**COMMON_SAMPLE, "name": hostile}
    )
    assert rendered.text == hostile
    assert rendered.html is not None
    assert "<script>" not in rendered.html
    assert rendered.html.count("&lt;script&gt;") == 2
    assert "&#34;" in rendered.html


def test_line_breaks_in_a_value_do_not_reach_the_subject(renderer: JinjaRenderer) -> None:
    rendered = renderer.render(source(subject="Hi {{ name }}"), {"name": "x\r\nBcc: all@example.org"})
    assert rendered.subject == "Hi x Bcc: all@example.org"


def test_a_secret_may_stand_in_the_body_but_not_in_the_subject(renderer: JinjaRenderer) -> None:
    renderer.check(source("{{ link }}"), {"name"}, {"link"})
    with pytest.raises(InvalidTemplate, match="there is no link here"):
        renderer.check(source(subject="{{ link }}"), {"name"}, {"link"})
    with pytest.raises(InvalidTemplate):
        renderer.render(source(subject="{{ link }}"), {"name": "x"}, {"link": "https://x?token=1"})


def test_a_variable_of_a_loop_is_known_inside_it(renderer: JinjaRenderer) -> None:
    looped = source("{% for title in titles %}- {{ title|upper }}\n{% endfor %}")
    renderer.check(looped, {"titles"})
    assert renderer.render(looped, {"titles": ["a", "b"]}).text == "- A\n- B\n"


def test_a_page_of_its_own_is_not_framed(renderer: JinjaRenderer) -> None:
    whole = "<!DOCTYPE html><html><body>{{ name }}</body></html>"
    assert renderer.render(source(html=whole), {"name": "Maria"}).html == whole.replace("{{ name }}", "Maria")


def test_a_missing_value_is_an_error_with_its_line(renderer: JinjaRenderer) -> None:
    with pytest.raises(InvalidTemplate, match="line 2"):
        renderer.render(source("a\n{{ name }}"), {})


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 3000 + "name" + ")" * 3000 + " }}",
        "{{ " + "not " * 4000 + "name }}",
        "{{ name" + "|upper" * 3000 + " }}",
        "{% if name %}" * 120 + "x" + "{% endif %}" * 120,
    ],
    ids=["brackets", "not", "filters", "if"],
)
def test_a_bottomless_template_is_refused_and_no_defect(renderer: JinjaRenderer, text: str) -> None:
    with pytest.raises(InvalidTemplate, match="nested too deeply"):
        renderer.check(source(text), {"name"})
    with pytest.raises(InvalidTemplate, match="nested too deeply"):
        renderer.render(source(text), {"name": "Eve"})


def test_a_template_that_makes_much_of_little_is_refused(renderer: JinjaRenderer) -> None:
    text = "{% for letter in name %}" + "x" * 19_000 + "{% endfor %}"
    with pytest.raises(InvalidTemplate, match="becomes longer than"):
        renderer.render(source(text), {"name": "y" * 2000})
