"""Go's templates, as far as Docker's users write them. The results are what docker itself prints."""

from typing import Any

import pytest

from insula.cli.failure import Failure
from insula.cli.template import Method, parse_template, render

THING: dict[str, Any] = {
    "Name": "/bob",
    "State": {"Running": True, "ExitCode": 0, "Error": ""},
    "Cmd": ["sh", "-c", "a b"],
    "Labels": {"b": "2", "a": "1", "x.y": "z"},
    "Ports": {"80/tcp": [{"HostPort": "8080"}], "81/tcp": None},
    "Nothing": None,
    "Empty": [],
    "Label": Method(lambda key="": {"a": "1"}.get(key, ""), bare=False),
}


def shown(text: str) -> str:
    return render(parse_template(text), THING)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Name}}", "/bob"),
        ("{{ .Name }}-{{.State.ExitCode}}", "/bob-0"),
        ("{{.State.Running}}", "true"),
        ("{{.Cmd}}", "[sh -c a b]"),
        ("{{.Labels}}", "map[a:1 b:2 x.y:z]"),
        ("{{.Nothing}}", "<no value>"),
        ("{{json .Cmd}}", '["sh","-c","a b"]'),
        ("{{json .Name}}", '"/bob"'),
        ("{{.Cmd | json}}", '["sh","-c","a b"]'),
        ('{{index .Labels "x.y"}}', "z"),
        ('{{index .Labels "none"}}', ""),
        ("{{index .Cmd 1}}", "-c"),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{join .Cmd ", "}}', "sh, -c, a b"),
        ("{{len .Cmd}}", "3"),
        ("{{upper .Name}}", "/BOB"),
        ("{{.Name | upper | lower}}", "/bob"),
        ("{{range .Cmd}}<{{.}}>{{end}}", "<sh><-c><a b>"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=1;b=2;x.y=z;"),
        ("{{range $v := .Cmd}}{{$v}}.{{end}}", "sh.-c.a b."),
        (
            "{{range $p, $c := .Ports}}{{$p}}{{if $c}}->{{(index $c 0).HostPort}}{{end}} {{end}}",
            "80/tcp->8080 81/tcp ",
        ),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Error}}bad{{else if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{with .State}}{{.ExitCode}}{{end}}", "0"),
        ('{{if eq .Name "/bob"}}yes{{end}}', "yes"),
        ('{{if and .State.Running (ne .Name "x")}}yes{{end}}', "yes"),
        ('{{or .State.Error "none"}}', "none"),
        ('{{printf "%s:%d" .Name .State.ExitCode}}', "/bob:0"),
        ("{{println .Name}}", "/bob\n"),
        ("a\\tb", "a\tb"),
        ("x {{- .Name -}} y", "x/boby"),
        ("{{/* nothing */}}", ""),
        ("{{$.Name}}", "/bob"),
        ("{{$n := .Name}}{{$n}}", "/bob"),
        ('{{.Label "a"}}', "1"),
        ('{{"lit"}}{{`raw`}}{{1}}{{true}}', "litraw1true"),
    ],
)
def test_values(template: str, text: str) -> None:
    assert shown(template) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{", "{{}}", "{{.Name", "{{.Nope}}", "{{.Name.Deeper}}", "{{nope .Name}}", "{{range .Cmd}}", "{{end}}",
        "{{if .Name}}x{{else}}y", "{{.Name .Cmd}}", "{{json}}", "{{len 5}}", "{{range .Name}}{{end}}", "{{$x}}",
        "{{(.Name}}", "{{index .Cmd 9}}", "{{if}}x{{end}}", "{{.Name |}}",
        "{{if 1}}" * 60 + "{{end}}" * 60,
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(template: str) -> None:
    with pytest.raises(Failure) as caught:
        shown(template)
    assert "\n" not in caught.value.message


def test_json_of_a_whole_row_leaves_methods_out() -> None:
    assert render(parse_template("{{json .}}"), {"ID": "1", "Label": THING["Label"]}) == '{"ID":"1"}'
