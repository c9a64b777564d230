"""Every error code of ClickHouse that we know has one fate, and an error's text never carries a row's data on."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from sinks import errors
from streams.runtime.errors import BadSettings, Unavailable

CONNECT_SINK = (3, 107, 159, 164, 202, 203, 209, 210, 241, 242, 252, 285, 319, 425, 999)
GLASSFLOW_RETRY = (198, 201, 236, 243, 244, 254, 265, 279, 286, 289, 290, 297, 364, 384, 1000)
GLASSFLOW_PERMANENT = (6, 7, 16, 20, 25, 26, 27, 38, 41, 43, 44, 47, 53, 60, 72, 80, 81)


@pytest.mark.parametrize("code", [*CONNECT_SINK, *GLASSFLOW_RETRY])
def test_what_others_retry_is_retried(code):
    assert errors.fate_of(code) == "retry"


@pytest.mark.parametrize("code", GLASSFLOW_PERMANENT)
def test_what_others_give_up_is_not_retried(code):
    assert errors.fate_of(code) in {"rows", "setup"}


@pytest.mark.parametrize(
    ("code", "fate"), [(c, "retry") for c in errors.RETRY] + [(c, "setup") for c in errors.SETUP] + [(c, "rows") for c in errors.ROWS]
)
def test_every_code_has_one_fate_and_one_family(code, fate):
    assert sum(code in known for known in (errors.RETRY, errors.SETUP, errors.ROWS)) == 1
    assert errors.fate_of(code) == fate
    family = {"retry": Unavailable, "setup": BadSettings, "rows": errors.RefusedError}[fate]
    assert type(errors.sorted_error(DatabaseError(f"Code: {code}. DB::Exception: …", code=code))) is family


def test_an_unknown_code_does_not_stop_the_other_rows():
    assert errors.fate_of(4711) == "rows"


def test_an_error_without_a_code_came_from_the_way_there():
    assert isinstance(errors.sorted_error(OperationalError("Network Error: Server disconnected")), Unavailable)


def test_the_code_is_found_in_the_text_too():
    assert errors.code_of(DatabaseError("HTTP 500: Code: 241. DB::Exception: Memory limit")) == 241


def test_a_refusal_names_the_field_and_never_quotes_the_row():
    text = "Code: 27. DB::Exception: Cannot parse input: expected '{' before: '\"jane@example.com\"…': (while reading the value of key parameters)"
    what = str(errors.sorted_error(DatabaseError(text, code=27)))
    assert "parameters" in what
    assert "CANNOT_PARSE_INPUT_ASSERTION_FAILED" in what
    assert "jane" not in what
