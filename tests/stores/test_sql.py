"""SQL of a stranger: what it names, one line of what is wrong, and no way out of the tables it is given."""

import pyarrow as pa
import pytest

from stores import sql
from stores.errors import BadQuery

TABLES = {"videos": pa.table({"label": ["a", "b", "a"], "n": [1, 2, 3]})}


@pytest.mark.parametrize(
    ("query", "tables", "reads", "not_read"),
    [
        ("select count(*) from videos", {"videos"}, (), ("features",)),
        ("select x.Features from Minilm x", {"minilm"}, ("features",), ("logits",)),
        ('select v.label from "i3d@3f" v join minilm using (key)', {"i3d@3f", "minilm"}, ("label", "key"), ("logits",)),
        ("with x as (select label from videos) select * from x", {"videos", "x"}, ("features",), ()),
        ("from videos", {"videos"}, ("features",), ()),
        ("select videos from videos", {"videos"}, ("features",), ()),
        ("select columns('lab.*') from videos", {"videos"}, ("features",), ()),
        ("select (select max(n) from runs) from videos", {"videos", "runs"}, ("n",), ("features",)),
        ("summarize videos", {"videos"}, ("features",), ()),
    ],
)
def test_a_query_names_its_tables_and_the_columns_it_may_read(query, tables, reads, not_read):
    named = sql.named(query)
    assert set(named.tables) == tables
    assert all(named.reads(column) for column in reads)
    assert not any(named.reads(column) for column in not_read)


def test_only_a_description_asks_for_the_schema_alone():
    assert sql.named("describe videos").only_schema
    assert not sql.named("summarize videos").only_schema
    assert not sql.named("select * from videos").only_schema


def test_an_answer_is_a_table():
    found = sql.ask("select label, sum(n)::bigint total from videos group by label order by label", TABLES)
    assert found.to_pydict() == {"label": ["a", "b"], "total": [4, 2]}


@pytest.mark.parametrize(
    "query",
    ["insert into videos values ('c', 4)", "drop table videos", "copy videos to 'x.csv'", "create table t (a int)"],
)
def test_what_does_more_than_read_is_refused(query):
    with pytest.raises(BadQuery, match="A query reads"):
        sql.named(query)


@pytest.mark.parametrize("query", ["select 1; select 2", "", "; ;"])
def test_a_query_is_one_statement(query):
    with pytest.raises(BadQuery, match="one statement, got"):
        sql.named(query)


def test_no_file_network_or_variable_can_be_read(tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    TABLE_OF_OURS = pa.table({"a": [1]})  # noqa: N806, F841
    for query in (
        f"select * from '{secret}'",
        f"select * from read_csv('{secret}')",
        f"select * from read_text('{secret}')",
        f"select * from glob('{tmp_path}/*')",
        "select * from read_csv('http://127.0.0.1:9/x.csv')",
        "select * from TABLE_OF_OURS",
    ):
        with pytest.raises(BadQuery):
            sql.ask(query, TABLES)


def test_the_doors_cannot_be_opened_again():
    with pytest.raises(BadQuery, match="locked"):
        sql.ask("set enable_external_access = true", TABLES)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select nope from videos", 'column "nope" not found .* HINT$'),
        ("select * from vidos", 'vidos does not exist! Did you mean "videos"\\? HINT$'),
        ("selec 1", 'syntax error at or near "selec"\\.$'),
        ("select label::int from videos", "Could not convert string 'a'"),
    ],
)
def test_a_mistake_is_told_in_one_line(query, told):
    with pytest.raises(BadQuery, match=told) as caught:
        sql.ask(query, TABLES, "HINT")
    assert "\n" not in str(caught.value)
