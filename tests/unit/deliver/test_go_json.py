"""JSON as Go prints it: held against an encoder written here another way, against Go where there is one."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.deliver.go_json import GoStruct, format_go, parse_for_go
from bundler.errors import MalformedError

PROGRAM = """package main

import ("bufio"; "encoding/json"; "os")

func main() {
	decoder, writer := json.NewDecoder(bufio.NewReader(os.Stdin)), bufio.NewWriter(os.Stdout)
	for {
		var value interface{}
		if decoder.Decode(&value) != nil { break }
		raw, _ := json.MarshalIndent(value, "", "  ")
		writer.Write(raw)
		writer.WriteByte(0)
	}
	writer.Flush()
}
"""


def go_number(number: float) -> str:
    """By decimal arithmetic, where the program cuts text."""
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    exact = Decimal(repr(number)).normalize()
    if 1e-6 <= abs(number) < 1e21:
        return format(exact, "f")
    sign, digits, exponent = exact.as_tuple()
    assert isinstance(exponent, int)
    power = exponent + len(digits) - 1
    mantissa = "".join(map(str, digits))
    point = f"{mantissa[0]}.{mantissa[1:]}" if len(mantissa) > 1 else mantissa
    return f"{'-' if sign else ''}{point}e{'+' if power > 0 else '-'}{abs(power)}"


def go_text(text: str) -> str:
    """By Python's encoder, then one replacement after another."""
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\ue000{ord(char):04x}")
    return json.dumps(text, ensure_ascii=False).replace("\ue000", "\\u")


def again(value: Any) -> str:
    """Go's rules written another way: values first, then every line indented once more."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode())
        inner, marks = [f"{go_text(key)}: {again(value[key])}" for key in keys], "{}"
    elif isinstance(value, list):
        inner, marks = [again(item) for item in value], "[]"
    elif isinstance(value, float):
        return go_number(value)
    else:
        return go_text(value) if isinstance(value, str) else json.dumps(value)
    if not inner:
        return marks
    body = ",\n".join(inner).replace("\n", "\n  ")
    return f"{marks[0]}\n  {body}\n{marks[1]}"


TEXT = st.text(st.characters(exclude_categories=("Cs", "Co")), max_size=8) | st.text(
    '<>&"\\\u2028\u2029\x7f\b\f\n\x00é😀', max_size=5
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=400)
@given(VALUES)
def test_equal_to_another_encoder(value: Any) -> None:
    assert format_go(value) == again(value)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(VALUES)
def test_reads_back_as_the_same(value: Any) -> None:
    assert json.loads(format_go(value), parse_int=float) == value


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("0", "0"),
        ("-0", "-0"),
        ("1.0", "1"),
        ("1e2", "100"),
        ("9007199254740993", "9007199254740992"),
        ("18446744073709551615", "18446744073709552000"),
        ("0.000001", "0.000001"),
        ("0.0000001", "1e-7"),
        ("1.5e-10", "1.5e-10"),
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("-1.25e30", "-1.25e+30"),
        ("{}", "{}"),
        ("[]", "[]"),
        ("[[],{}]", "[\n  [],\n  {}\n]"),
        ('{"b":1,"a":[true,null]}', '{\n  "a": [\n    true,\n    null\n  ],\n  "b": 1\n}'),
        ('"<a href=\\"x\\">&\\u2028\\u2029\\u007f\\b\\f\\n\\r\\t\\u0001\\/"',
         '"\\u003ca href=\\"x\\"\\u003e\\u0026\\u2028\\u2029\x7f\\b\\f\\n\\r\\t\\u0001/"'),
        ('{"\\uffff":1,"\\ud83d\\ude00":2,"Z":3,"a":4}', '{\n  "Z": 3,\n  "a": 4,\n  "\uffff": 1,\n  "😀": 2\n}'),
    ],
)  # fmt: skip
def test_rules(raw: str, text: str) -> None:
    assert format_go(parse_for_go(raw.encode(), "test")) == text


def test_a_struct_keeps_the_order_of_its_fields() -> None:
    assert format_go(GoStruct(SPDX={"b": 1.0, "a": 2.0}, AdditionalSPDXs=[])) == (
        '{\n  "SPDX": {\n    "a": 2,\n    "b": 1\n  },\n  "AdditionalSPDXs": []\n}'
    )


@pytest.mark.parametrize(("raw", "code"), [(b'{"a":1,"a":2}', "json-duplicate-key"), (b"[NaN]", "json-number")])
def test_what_has_no_one_meaning_is_not_printed(raw: bytes, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_for_go(raw, "test")
    assert error.value.code == code


def test_depth_is_bounded() -> None:
    value: Any = []
    for _ in range(100):
        value = [value]
    with pytest.raises(MalformedError) as error:
        format_go(value)
    assert error.value.code == "json-depth"


def test_equal_to_go(tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine: only the encoder above was compared")
    (tmp_path / "main.go").write_text(PROGRAM)
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    subprocess.run(
        [go, "build", "-o", "encode", "main.go"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    blocks = [number.to_bytes(8, "big") for number in range(0, 2**64, 2**64 // 3000 + 12_345)]
    floats = [struct.unpack(">d", block)[0] for block in blocks]
    documents = [repr(value) for value in floats if math.isfinite(value)]
    documents += [f"{mantissa}e{power}" for mantissa in ("1", "-9.999999999999999") for power in range(-30, 30)]
    documents.append(
        json.dumps("".join(map(chr, [*range(0x300), 0x2028, 0x2029, 0xFFFD, 0x1F600])), ensure_ascii=False)
    )
    documents.append('{"\\uffff":{},"\\ud83d\\ude00":[],"é":[1,{"x":null}],"-":-0}')
    done = subprocess.run([tmp_path / "encode"], input="\n".join(documents).encode(), capture_output=True, check=True)
    theirs = done.stdout.decode().split("\0")[:-1]
    assert [format_go(parse_for_go(document.encode(), "test")) for document in documents] == theirs
