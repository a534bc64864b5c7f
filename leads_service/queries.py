"""The queries on one user's leads, each one beginning with whose they are."""

from collections.abc import Collection, Mapping
from functools import reduce
from itertools import chain
from operator import and_
from typing import Any

from peewee import (
    CTE,
    SQL,
    Expression,
    ModelDelete,
    ModelInsert,
    ModelSelect,
    ModelUpdate,
    Select,
    Tuple,
    fn,
)

from leads_service.models import MAX_SCORE, DeletedLead, Lead, User
from leads_service.statements import parameter

COLUMNS = tuple(Lead._meta.columns)  # a lead's fields, in the order in which they are shown
CHANGING = ("status", "notes", "score", "updated_at")
KEPT = ("user_id", "id", "created_at")  # of a lead that was deleted

OWN = Lead.user_id == parameter("user_id")
ONE = OWN & (Lead.id == parameter("id"))

BETWEEN = ",\n"  # two leads; within one, JSON has no line feed
SCORES = ("min_score", "max_score")


def insert_one(*, users_are_ours: bool) -> ModelInsert:
    """Return the query that stores a lead and answers with its id.

    If the users are ours, with none for a user who has been removed since it was looked who calls.
    """
    lead = {getattr(Lead, name): parameter(name) for name in COLUMNS[1:]}
    if users_are_ours:
        user = User.select(User.id).where(User.id == parameter("user_id"))
        query = Lead.insert_from(Select(columns=[*lead.values()]).where(fn.EXISTS(user)), [*lead])
    else:
        query = Lead.insert(lead)
    return query.returning(Lead.id)


def select_one() -> "ModelSelect[Lead]":
    """Return the query for the user's lead with an ``id``."""
    return Lead.select(*Lead._meta.sorted_fields).where(ONE)


def update_one() -> ModelUpdate:
    """Return the query that changes the user's lead with an ``id``."""
    return Lead.update({name: parameter(name) for name in CHANGING}).where(ONE)


def delete_one() -> ModelDelete:
    """Return the query that deletes the user's lead with an ``id``."""
    return Lead.delete().where(ONE)


def insert_deleted() -> ModelInsert:
    """Return the query that notes where a lead stood that is being deleted."""
    return DeletedLead.insert({name: parameter(name) for name in KEPT})


def select_deleted() -> "ModelSelect[DeletedLead]":
    """Return the query for what is left of the user's lead with an ``id``."""
    own = DeletedLead.user_id == parameter("user_id")
    columns = [getattr(DeletedLead, name) for name in KEPT]
    return DeletedLead.select(*columns).where(own & (DeletedLead.id == parameter("id")))


def select_page(names: Collection[str]) -> Select:
    """Return the query for a page with the filters of these names, newest first."""
    if "min_score" in names:
        return _in_one_row(*_newest_by_score(names))
    return _in_one_row(_newest(_select().where(_conditions(Lead, names))))


def _newest_by_score(names: Collection[str]) -> tuple["ModelSelect[Lead]", CTE]:
    """Return the query for leads with bounds on the score, and filters of these names.

    With it comes the table of the scores, which it needs.

    A range of an index is in order of time only for one score, and there are no more than 101:
    the newest leads of each one, a page at most, hold those of all. Walking the leads in order of
    time until a page is full took 49 ms for a rare score among 2,000,000.
    """
    first = Select(columns=[parameter("min_score").alias("score")])
    scores = first.cte("scores", recursive=True, columns=("score",))
    following = Select([scores], [scores.c.score + SQL("1")])
    scores = scores.union_all(following.where(scores.c.score < parameter("max_score")))
    of_one_score, of_any = Lead.alias(), Lead.alias()
    same_score = of_one_score.score == scores.c.score
    newest = of_one_score.select(of_one_score.id)
    newest = newest.where(_conditions(of_one_score, names) & same_score)
    page = of_any.select(of_any.id).from_(scores, of_any)
    page = page.where(of_any.id.in_(_newest(newest, of_one_score)))
    # The ids are the user's own; to ask for that again leads SQLite to another, far longer way.
    return _newest(_select().where(Lead.id.in_(_newest(page, of_any)))), scores


def page_values(filters: Mapping[str, Any], last: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what to run a page's query with; its names are those to ask for the query with.

    Days become their first or last moment, one bound on the score becomes two, and of two ends in
    time, a day and the ``last`` lead of the page before, the nearer one stays: SQLite would walk
    from either, and all the way from the wrong one.
    """
    values = dict(filters)
    if "created_after" in values:
        values["created_after"] = f"{values['created_after']}T00:00:00.000000Z"
    if "created_before" in values:
        values["created_before"] = f"{values['created_before']}T23:59:59.999999Z"
    if not values.keys().isdisjoint(SCORES):
        values = {"min_score": 0, "max_score": MAX_SCORE} | values
    if last is not None:
        if last["created_at"] > values.get("created_before", last["created_at"]):
            return values
        values.pop("created_before", None)
        values |= {"cursor": last["id"], "cursor_created_at": last["created_at"]}
    return values


def _select() -> "ModelSelect[Lead]":
    """Return the query for leads as they go out, after their ids.

    SQLite writes 50 leads as JSON in less time than it takes to make rows of them for Python.
    """
    pairs = [(SQL(f"'{name}'"), field) for name, field in Lead._meta.columns.items()]
    return Lead.select(Lead.id, fn.json_object(*chain.from_iterable(pairs)).alias("lead"))


def _in_one_row(leads: "ModelSelect[Lead]", *tables: CTE) -> Select:
    """Return the query for the ids, with commas between, and the leads, a line each.

    Python's threads change places at every row that is fetched: with 51 of them two threads took
    twice as long as one. An aggregate takes its rows in the order of a subquery that has a limit:
    https://sqlite.org/forum/forumpost/2d76f2bcf65d256a.
    """
    columns = [fn.group_concat(leads.c.id), fn.group_concat(leads.c.lead, SQL(f"'{BETWEEN}'"))]
    return Select([leads], columns).with_cte(*tables)


def _newest(query: "ModelSelect[Lead]", lead: Any = Lead) -> "ModelSelect[Lead]":
    return query.order_by(lead.created_at.desc(), lead.id.desc()).limit(parameter("limit"))


def _conditions(lead: Any, names: Collection[str]) -> Expression:
    before = Tuple(lead.created_at, lead.id)
    conditions = {
        "status": lead.status == parameter("status"),
        "company_id": lead.company_id == parameter("company_id"),
        "created_after": lead.created_at >= parameter("created_after"),
        "created_before": lead.created_at <= parameter("created_before"),
        "cursor": before < Tuple(parameter("cursor_created_at"), parameter("cursor")),
    }
    own = lead.user_id == parameter("user_id")
    where: Expression = reduce(
        and_, (conditions[name] for name in conditions if name in names), own
    )
    return where
