import base64
import json
import logging
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from pydantic import SecretStr

from packages.infra.probes.prometheus import PrometheusAwayError, PrometheusClient, PrometheusError
from tests.objectives.prometheus_server import PATH, Answer, PrometheusServer, answered, scalar, vector

PASSWORD = "p@ss:wörd€"
QUOTED = "p%40ss%3Aw%C3%B6rd%E2%82%AC"


@pytest.fixture
def client(server: PrometheusServer) -> Iterator[PrometheusClient]:
    client = PrometheusClient(SecretStr(server.url))
    yield client
    client.close()


def refusal(client: PrometheusClient) -> str:
    with pytest.raises(PrometheusError) as refused:
        client.value("up")
    return str(refused.value)


@pytest.mark.parametrize(
    ("answer", "value"),
    [(vector("19.75"), 19.75), (scalar("0"), 0), (vector("1e+06"), 1e6), (vector("-0"), 0)],
)
def test_one_number_is_read(server: PrometheusServer, client: PrometheusClient, answer: Answer, value: float) -> None:
    server.answer = lambda *_: answer
    assert client.value('sum(increase(x{a="b & c"}[5m])) or vector(0)') == value
    assert server.asked == [(PATH, 'sum(increase(x{a="b & c"}[5m])) or vector(0)', None)]


def remarked(**given: object) -> Answer:
    return Answer(json.dumps({**json.loads(vector("5").body), **given}).encode())


@pytest.mark.parametrize(
    "given",
    [
        {"infos": ["PromQL info: metric might not be a counter"]},
        # Versions without a field of their own for it.
        {"warnings": ['PromQL info: metric might not be a counter, name does not end in _total: "x" (1:6)']},
        {"warnings": []},
        {"warnings": None},
        {"isPartial": False},
        {"stats": {}},
    ],
)
def test_a_remark_on_the_query_does_no_harm(
    server: PrometheusServer, client: PrometheusClient, given: dict[str, object]
) -> None:
    server.answer = lambda *_: remarked(**given)
    assert client.value("sum(increase(x[5m]))") == 5


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            remarked(warnings=["store a is away", "so is b"]),
            "the answer is incomplete: store a is away",
        ),
        (remarked(warnings=["PromQL info: x", "a is away"]), "the answer is incomplete: a is away"),
        (remarked(warnings=["x" * 900]), f"the answer is incomplete: {'x' * 200}"),
        (remarked(warnings=[7]), "the answer is incomplete"),
        (remarked(isPartial=True), "the answer is incomplete"),
        (vector(), "nothing matches the query"),
        (vector("1", "2"), "the query gives 2 numbers, not one: does it sum up?"),
        (vector("NaN"), "nan is no number of events"),
        (scalar("+Inf"), "inf is no number of events"),
        (vector("-1"), "-1.0 is no number of events"),
        (vector("1e30"), "1e+30 is no number of events"),
        (vector("one"), "the answer has no number in it"),
        (answered("vector", [{"metric": {}, "value": [1, 2]}]), "the answer has no number in it"),
        (answered("vector", [{"metric": {}, "histogram": [1, {}]}]), "the answer has no number in it"),
        (answered("vector", [7]), "the answer has no number in it"),
        (answered("vector", {}), "the query gives neither a scalar nor a vector"),
        (answered("scalar", "1"), "the answer has no number in it"),
        (answered("matrix", []), "the query gives neither a scalar nor a vector"),
        (answered("string", [1, "1"]), "the query gives neither a scalar nor a vector"),
        (Answer(b'{"status": "success", "data": 3}'), "the query gives neither a scalar nor a vector"),
        (Answer(b'{"status": "success"}'), "the query gives neither a scalar nor a vector"),
        (Answer(b"[]"), "status 200"),
        (Answer(b"<html>"), "status 200, and no JSON"),
        (Answer(b""), "status 200, and no JSON"),
        (Answer(b"[" * 60_000), "status 200, and no JSON"),
        (Answer(b'{"status": "error", "error": "parse error: bad"}', 400), "status 400: parse error: bad"),
        (Answer(b'{"status": "error", "error": "' + b"x" * 900 + b'"}', 503), f"status 503: {'x' * 200}"),
        (Answer(b"oops", 500), "status 500, and no JSON"),
        (Answer(b"no", 401), "status 401, and no JSON"),
        (Answer(b" " * 70_000), "the answer is larger than 65536 bytes: does the query sum up?"),
    ],
)
def test_all_else_is_refused(server: PrometheusServer, client: PrometheusClient, answer: Answer, problem: str) -> None:
    server.answer = lambda *_: answer
    assert refusal(client) == problem
    # And does no harm to the next one.
    server.answer = lambda *_: vector("3")
    assert client.value("up") == 3


def test_an_endless_answer_is_cut(server: PrometheusServer, client: PrometheusClient) -> None:
    def endless(_: str, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not server.released.is_set():
            handler.wfile.write(b"1000\r\n" + b" " * 0x1000 + b"\r\n")

    server.answer = endless
    assert refusal(client).startswith("the answer is larger than ")


def test_an_answer_in_chunks_is_read(server: PrometheusServer, client: PrometheusClient) -> None:
    def in_chunks(_: str, handler: BaseHTTPRequestHandler) -> None:
        body = vector("7").body
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for byte in body:
            handler.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    server.answer = in_chunks
    assert client.value("up") == 7


def test_an_answer_that_breaks_off(server: PrometheusServer, client: PrometheusClient) -> None:
    def broken(_: str, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "500")
        handler.end_headers()
        handler.wfile.write(b'{"status"')

    server.answer = broken
    assert refusal(client)
    server.answer = lambda *_: vector("3")
    assert client.value("up") == 3


def test_a_server_that_says_nothing(server: PrometheusServer) -> None:
    def silent(_: str, __: BaseHTTPRequestHandler) -> None:
        server.released.wait()

    server.answer = silent
    assert refusal(PrometheusClient(SecretStr(server.url), timeout_s=0.2)) == "no answer in time (ReadTimeout)"


def test_a_server_that_never_ends(server: PrometheusServer) -> None:
    def dripping(_: str, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "60000")
        handler.end_headers()
        while not server.released.wait(0.05):
            handler.wfile.write(b" ")

    server.answer = dripping
    assert refusal(PrometheusClient(SecretStr(server.url), timeout_s=0.5)) == "no whole answer in time"


def test_a_redirect_is_not_followed(server: PrometheusServer, client: PrometheusClient) -> None:
    server.answer = lambda *_: Answer(b"", 302, (("Location", f"{server.url}/elsewhere"),))
    assert refusal(client) == "status 302: a redirect is not followed"
    assert [asked.path for asked in server.asked] == [PATH]


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = PrometheusClient(SecretStr(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(PrometheusAwayError, match=r"^no connection \(ConnectionError\)$"):
            client.value("up")


def test_one_connection_serves_all_questions(server: PrometheusServer, client: PrometheusClient) -> None:
    assert [client.value("up") for _ in range(5)] == [1] * 5
    assert server.connections == 1
    client.close()
    assert client.value("up") == 1


def test_a_path_and_a_password(server: PrometheusServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = PrometheusClient(SecretStr(f"http://minsy:{QUOTED}@{server.host}/prometheus/"))
    said = f'{{"status": "error", "error": "who is {PASSWORD}?"}}'.encode()
    server.answer = lambda *_: Answer(said, 403)
    assert refusal(client) == "status 403: who is ****?"
    ((path, _, authorization),) = server.asked
    assert path == f"/prometheus{PATH}"
    assert authorization == f"Basic {base64.b64encode(f'minsy:{PASSWORD}'.encode()).decode()}"
    for secret in (PASSWORD, QUOTED):
        assert secret not in repr(client) + repr(vars(client)) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "ftp://prometheus",
        "prometheus:9090",
        "http://",
        "file:///etc/passwd",
        "http://user:hidden@host:99999/",
        "http://user:hidden@[::1/",
        "http://user:hidden@host/?query=up",
        "https://user:hidden@host/#x",
    ],
)
def test_an_address_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match="the address of Prometheus ") as refused:
        PrometheusClient(SecretStr(url))
    assert "hidden" not in str(refused.value)
