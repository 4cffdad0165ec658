"""SIP text as the scripted phones read and write it; needs no PBX."""

from __future__ import annotations

import pytest

from freepbx_bx24.sandbox.pbx import sip

INVITE = (
    b"INVITE sip:101@127.0.0.1:5060 SIP/2.0\r\nv: SIP/2.0/UDP 127.0.0.2:1;branch=z9hG4bKabc;rport\r\n"
    b'f: "A \\"b\\" \xd0\x98" <sip:%2B7916@127.0.0.2>;tag=one\r\nTo: <sip:101@127.0.0.1>\r\n'
    b"i: call\r\nCSeq: 7 INVITE\r\nm: <sip:x@127.0.0.2:9>\r\n\r\n"
    b"v=0\r\nc=IN IP4 127.0.0.2\r\nm=audio 4000 RTP/AVP 0\r\n"
)


def test_a_request_is_read_with_compact_headers_and_utf8() -> None:
    message = sip.parse(INVITE)
    assert (message.method, message.cseq, message.branch) == ("INVITE", (7, "INVITE"), "z9hG4bKabc")
    assert sip.address(message.get("from")) == ('A "b" И', "+7916", "sip:%2B7916@127.0.0.2", "one")
    assert sip.media_address(message.body) == ("127.0.0.2", 4000)


def test_an_answer_copies_what_names_the_transaction_and_adds_its_tag() -> None:
    answer = sip.parse(sip.response(sip.parse(INVITE), 180, "two").encode())
    assert (answer.status, answer.branch, answer.cseq) == (180, "z9hG4bKabc", (7, "INVITE"))
    assert sip.address(answer.get("to")).tag == "two"


@pytest.mark.parametrize("junk", [b"", b"\r\n\r\n", b"\x00\xff", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_sip_message_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError, match="no SIP"):
        sip.parse(junk)


@pytest.mark.parametrize("name", ["", "plain", 'say "hi"', "back\\slash", "Иван", "<sip:evil@x>;tag=no"])
def test_a_display_name_survives_the_way_there_and_back(name: str) -> None:
    assert sip.address(sip.name_address(name, "sip:1@x", "t")) == (name, "1", "sip:1@x", "t")


def test_a_display_name_given_as_bytes_is_sent_as_it_is() -> None:
    name = b'\xff%0d%0a\\"'
    message = sip.Message("BYE sip:x SIP/2.0", [("From", sip.name_address(name, "sip:1@x"))])
    assert b'From: "' + name + b'" <sip:1@x>\r\n' in message.encode()


def test_a_digest_is_what_the_rfcs_example_says() -> None:
    challenge = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"'
    proof = sip.digest(challenge, "GET", "/dir/index.html", "Mufasa", "Circle Of Life")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in proof
