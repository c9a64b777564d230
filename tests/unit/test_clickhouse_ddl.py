"""The SQL files are what the tables say, every column is explained, and every field of a row has a column."""

import re

import pytest

from schemas.event import Row, Visit
from sinks.ddl import files
from sinks.feeds import FEEDS
from sinks.queries import recipes
from sinks.tables import EVENT_REVISIONS, TABLES, VISITS
from sinks.views import VIEWS
from streams.topology import DEAD_LETTERS, SINK

# 8-surface.md, "SQL": names that people's queries rely on.
CONTRACT = {
    "events": """event_id account_id property_id source_id type received_at event_time judged_at status reason sub_reason message view_status
        conversion_name value currency click_id match_kind campaign_id traffic_source_id transaction_id identity duplicate_of parent_event_id is_test
        revision settings_version trace evidence parameters payload payload_sha256 topic partition offset""",
    "visits": """visit_id click_id kind occurred_at received_at campaign_id traffic_source_id lander_id offer_id parameters device_type browser os ip
        country referrer url""",
    "postbacks": """postback_id event_id click_id destination_id integration_id postback_time is_error error_message status_code postback_url ct
        attempts next_attempt_at state""",
    "postback_attempts": "postback_id attempt sent_at duration_ms status_code error_message request response",
    "activity": "activity_id changed_at author entity entity_id action before after diff",
}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_files_are_current(path):
    assert path.read_text() == files()[path], "run `python -m sinks.ddl`"


def test_no_two_migrations_have_a_number():
    """Two branches that each add a column meet here, not in a database that half of the files were applied to."""
    numbers = [path.name[:3] for path in files() if path.parent.name == "ddl"]
    assert len(set(numbers)) == len(numbers)


def test_each_migration_has_a_number_of_its_own():
    """Two branches that take the same one would stop every migrate."""
    numbers = [path.name[:3] for path in files() if path.parent.name == "ddl"]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("name", CONTRACT)
def test_the_promised_columns_are_there(name):
    (columns,) = [each.columns for each in (*TABLES, *VIEWS) if each.name == name]
    assert set(CONTRACT[name].split()) <= {column.name for column in columns}


@pytest.mark.parametrize("each", [*TABLES, *VIEWS], ids=lambda each: each.name)
def test_everything_is_explained(each):
    assert each.comment
    assert each.why
    assert all(column.comment for column in each.columns)


@pytest.mark.parametrize(("shape", "table"), [(Row, EVENT_REVISIONS), (Visit, VISITS)], ids=["Row", "Visit"])
def test_every_field_that_travels_is_taken(shape, table):
    """But for the owner of a member's link: that is only for finding self-referrals, and no reader's business (streams/fraud.py); and for
    the trace context, whose store is OpenTelemetry's.
    """
    assert set(shape.__annotations__) - {"owner", "traceparent"} <= set(table.insert_columns())


def test_every_topic_of_the_sink_has_a_feed():
    assert {feed.topic for feed in FEEDS} == {topic.name for topic in (*SINK.inputs, *DEAD_LETTERS)}


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_a_recipe_says_what_it_answers(recipe):
    assert re.fullmatch(r"[A-Z].{20,}[.]", recipe.title)
