"""Joins: on the thread that asks, so that none spins while another waits for its core."""

from stores import joins


def test_a_query_is_answered_by_the_thread_that_asks():
    with joins.in_memory() as connection:
        assert connection.sql("select current_setting('threads')").fetchall() == [(1,)]


def test_nobody_else_sees_what_is_in_it():
    with joins.in_memory() as one, joins.in_memory() as other:
        one.execute("create table t as select 1")
        assert other.sql("show tables").fetchall() == []
