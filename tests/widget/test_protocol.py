"""Whatever comes over the wire gets an answer and never an exception."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from causal_widget.widget.protocol import (
    ARGUMENTS,
    ProtocolError,
    Reply,
    Request,
    clean,
    parse,
    write_event,
    write_reply,
)

MALFORMED = [
    (None, "must be an object"),
    ("hello", "must be an object"),
    (7, "must be an object"),
    ([1, 2], "must be an object"),
    ({}, "version 1"),
    ({"v": 2, "id": 1, "op": "hello"}, "version 1, the page sent 2"),
    ({"v": True, "id": 1, "op": "hello"}, "version 1"),
    ({"v": 1, "op": "hello"}, "id must be a whole number"),
    ({"v": 1, "id": "x", "op": "hello"}, "id must be a whole number"),
    ({"v": 1, "id": True, "op": "hello"}, "id must be a whole number"),
    ({"v": 1, "id": -1, "op": "hello"}, "id must be a whole number"),
    ({"v": 1, "id": 1}, "op must be a text"),
    ({"v": 1, "id": 1, "op": 3}, "op must be a text"),
    ({"v": 1, "id": 1, "op": "helo"}, 'Did you mean "hello"?'),
    ({"v": 1, "id": 1, "op": "x" * 2000}, "at most 1000 characters"),
    ({"v": 1, "id": 1, "op": "__class__"}, "unknown"),
    ({"v": 1, "id": 1, "op": "hello", "args": []}, "args of 'hello' must be an object"),
    ({"v": 1, "id": 1, "op": "hello", "args": {"a": 1}}, "no argument 'a'"),
    ({"v": 1, "id": 1, "op": "importance", "args": {}}, "needs the argument 'rule'"),
    ({"v": 1, "id": 1, "op": "importance", "args": {"rule": 3}}, "must be a text"),
    ({"v": 1, "id": 1, "op": "importance", "args": {"rul": "l1"}}, 'Did you mean "rule"?'),
    ({"v": 1, "id": 1, "op": "edges", "args": {"wirings": 3}}, "must be a list"),
    ({"v": 1, "id": 1, "op": "edges", "args": {"wirings": [0.5]}}, "whole number"),
    ({"v": 1, "id": 1, "op": "edges", "args": {"wirings": [0, -1]}}, "'wirings' of 'edges'[1]"),
    ({"v": 1, "id": 1, "op": "edges", "args": {"wirings": [0] * 100_001}}, "at most 100000"),
    ({"v": 1, "id": 1, "op": "unit", "args": {"layer": "conv1"}}, "needs the argument 'unit'"),
    ({"v": 1, "id": 1, "op": "unit", "args": {"layer": "conv1", "unit": True}}, "whole number"),
    ({"v": 1, "id": 1, "op": "collect", "args": {"batches": -3}}, "0 or more"),
    ({"v": 1, "id": 1, "op": "collect", "args": {"device": 0}}, "must be a text"),
    ({"v": 1, "id": 1, "op": "prune", "args": {"percents": [math.nan], "rules": []}}, "finite"),
    ({"v": 1, "id": 1, "op": "prune", "args": {"percents": "10", "rules": []}}, "must be a list"),
    ({"v": 1, "id": 1, "op": "effect", "args": {"ablated": [1]}}, "map layer names"),
    ({"v": 1, "id": 1, "op": "effect", "args": {"ablated": {"conv1": ["a"]}}}, "whole number"),
]


@pytest.mark.parametrize(("content", "expected"), MALFORMED)
def test_malformed_message_is_refused(content, expected):
    with pytest.raises(ProtocolError) as caught:
        parse(content)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(("content", "expected"), MALFORMED)
def test_page_is_told_and_the_kernel_goes_on(page, content, expected):
    page.deliver(content)
    error = page.messages()[-1][0]
    assert error["ok"] is False
    assert error["error"]["kind"] == "ProtocolError"
    assert expected in error["error"]["message"]
    assert page.ask("hello").result["version"] == 1


def test_unknown_version_names_both(page):
    page.deliver({"v": 9, "id": 4, "op": "hello", "client": "old"})
    error = page.messages()[-1][0]
    assert (error["id"], error["client"]) == (4, "old")


def test_defaults_are_filled_in():
    assert parse({"v": 1, "id": 1, "op": "collect"}).args == {"batches": 0, "device": None}


def test_foreign_keys_come_back_but_cannot_forge_a_reply():
    request = parse(
        {
            "v": 1,
            "id": 3,
            "op": "hello",
            "client": "a",
            "ok": False,
            "error": 1,
            "event": "job",
            "big": "x" * 101,
        }
    )
    content, _ = write_reply(request, Reply({}))
    assert content == {"client": "a", "v": 1, "id": 3, "ok": True, "result": {}}


def test_buffers_are_in_c_order_whatever_the_strides():
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    content, (buffer,) = write_reply(Request(1, "x"), Reply({}, (("a", array),)))
    assert content["result"]["buffers"] == [{"name": "a", "dtype": "float32", "shape": [3, 2]}]
    assert np.frombuffer(buffer, np.float32).tolist() == [0, 3, 1, 4, 2, 5]


def test_empty_buffer_is_written():
    _, (buffer,) = write_reply(Request(1, "x"), Reply({}, (("a", np.zeros((0, 3), np.uint8)),)))
    assert len(buffer) == 0


def test_other_dtypes_are_refused():
    with pytest.raises(TypeError, match="float64"):
        write_reply(Request(1, "x"), Reply({}, (("a", np.zeros(2)),)))


def test_what_json_cannot_say_becomes_null():
    value = {
        "a": np.float64("nan"),
        "b": [math.inf, np.int64(3)],
        4: np.array([1.5, -np.inf]),
        "t": (True, None),
    }
    cleaned = clean(value)
    assert cleaned == {"a": None, "b": [None, 3], "4": [1.5, None], "t": [True, None]}
    json.dumps(cleaned, allow_nan=False)


def test_events_carry_the_version():
    assert write_event("job", job={"rate": math.inf}) == {"v": 1, "event": "job", "job": {"rate": None}}


def test_every_operation_has_a_handler():
    from causal_widget.widget.handlers import HANDLERS, IMMEDIATE, LANES

    assert set(ARGUMENTS) == set(HANDLERS) | set(IMMEDIATE)
    assert set(HANDLERS) == set(LANES)
