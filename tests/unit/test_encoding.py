"""Base64 and PEM have one spelling."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.encoding import decode_base64, encode_base64, format_pem, parse_loose_pem, parse_pem
from bundler.errors import MalformedError

PEM = format_pem("CERTIFICATE", bytes(range(100)))
ONE_LINE = "\n".join((PEM.splitlines()[0], "".join(PEM.splitlines()[1:-1]), PEM.splitlines()[-1]))


@settings(derandomize=True, deadline=None)
@given(st.binary())
def test_base64_round_trip(raw: bytes) -> None:
    assert decode_base64(encode_base64(raw), "x") == raw


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet="AB+/=- \n\té9", max_size=12))
def test_base64_decodes_only_what_it_writes(text: str) -> None:
    try:
        raw = decode_base64(text, "x")
    except MalformedError:
        return
    assert encode_base64(raw) == text


@pytest.mark.parametrize("text", ["QQ", "QQ=", "QR==", "QQ==\n", " QQ==", "Q Q==", "QQ==QQ==", "-_-_", "QQ==é", "="])
def test_base64_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(MalformedError) as error:
        decode_base64(text, "x")
    assert error.value.code == "base64"


@settings(derandomize=True, deadline=None)
@given(st.binary(min_size=1), st.sampled_from(["CERTIFICATE", "PUBLIC KEY"]))
def test_pem_round_trip(raw: bytes, label: str) -> None:
    assert parse_pem(format_pem(label, raw), "x") == (label, raw)


@pytest.mark.parametrize("text", [PEM, PEM.rstrip("\n"), PEM.replace("\n", "\r\n")])
def test_pem_line_ends(text: str) -> None:
    assert parse_pem(text, "x") == ("CERTIFICATE", bytes(range(100)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        PEM + PEM,
        PEM + "\n",
        "\n" + PEM,
        "note\n" + PEM,
        PEM + "note",
        PEM.replace("END CERTIFICATE", "END PUBLIC KEY"),
        PEM.replace("\n", "\r\n", 1),
        PEM.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
        PEM.replace("AAEC", "AAEC\n"),
        PEM.replace("BEGIN", "begin"),
        PEM.replace("CERTIFICATE", "Certificate"),
        PEM.replace("\n", " "),
        "-----BEGIN X-----\n-----END X-----\n",
    ],
)
def test_pem_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_pem(text, "x")
    assert error.value.code in {"pem", "base64"}


def test_pem_lines_of_another_length_are_refused() -> None:
    body = base64.b64encode(bytes(96)).decode()
    with pytest.raises(MalformedError) as error:
        parse_pem(f"-----BEGIN X-----\n{body[:60]}\n{body[60:124]}\n{body[124:]}\n-----END X-----\n", "x")
    assert error.value.code == "pem"


@pytest.mark.parametrize("text", [PEM, f"{PEM}\n\n", PEM.replace("\n", "\r\n"), ONE_LINE])
def test_loose_pem_has_lines_of_any_length(text: str) -> None:
    assert parse_loose_pem(text, "key") == ("CERTIFICATE", bytes(range(100)))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(
            ("", "pem"),
            (PEM + PEM, "pem"),
            (f"x{PEM}", "pem"),
            (f" {PEM}", "pem"),
            (PEM.replace("END CERT", "END"), "pem"),
        ),
        *(
            (PEM.replace("AAEC", "A AEC"), "pem"),
            (PEM.replace("AAEC", "AAE"), "base64"),
            (PEM.replace("=", ""), "base64"),
        ),
    ],
)
def test_loose_pem_is_still_one_block_of_strict_base64(text: str, code: str) -> None:
    with pytest.raises(MalformedError) as error:
        parse_loose_pem(text, "key")
    assert error.value.code == code
