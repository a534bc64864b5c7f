"""The leads with FastAPI and SQLModel, as FastAPI's tutorial on SQL databases does it."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlmodel import DateTime, Field, Index, Session, SQLModel, col, create_engine, select

app = FastAPI()
URL = os.environ["BENCH_DATABASE"]
if URL.startswith("sqlite"):
    engine = create_engine(URL, connect_args={"check_same_thread": False})
else:
    # As many connections as there are clients, so that no request waits for one or opens one.
    engine = create_engine(URL.replace("postgresql:", "postgresql+psycopg:"), pool_size=16)


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class User(SQLModel, table=True):
    """Somebody who owns leads."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


class Token(SQLModel, table=True):
    """A bearer token of a user."""

    id: int | None = Field(default=None, primary_key=True)
    key: str = Field(index=True, unique=True)
    user_id: int = Field(foreign_key="user.id")


class LeadCreate(SQLModel):
    """The body of a create."""

    company_id: int = Field(ge=1)
    notes: str = Field(default="", max_length=10_000)


class LeadUpdate(SQLModel):
    """The body of an update."""

    status: Literal["new", "contacted", "qualified", "converted", "lost"] | None = None
    notes: str | None = Field(default=None, max_length=10_000)


class LeadBase(LeadCreate):
    """The fields of a lead except its id."""

    user_id: int = Field(foreign_key="user.id")
    status: str = "new"
    score: int = 10
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class Lead(LeadBase, table=True):
    """A lead as it is stored."""

    __table_args__ = (Index("lead_newest", "user_id", "created_at", "id"),)
    id: int | None = Field(default=None, primary_key=True)


class LeadPublic(LeadBase):
    """A lead in responses."""

    id: int


def get_session() -> Iterator[Session]:
    """Return a session for one request."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
Credentials = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


def get_user(session: SessionDep, credentials: Credentials) -> User:
    """Return the authenticated user."""
    user = session.exec(select(User).join(Token).where(Token.key == credentials.credentials))
    if (found := user.first()) is None:
        raise HTTPException(401)
    return found


UserDep = Annotated[User, Depends(get_user)]


@app.get("/leads", response_model=list[LeadPublic])
def list_leads(session: SessionDep, user: UserDep, limit: int = 50) -> object:
    """Return the caller's newest leads."""
    own = select(Lead).where(Lead.user_id == user.id)
    newest = own.order_by(col(Lead.created_at).desc(), col(Lead.id).desc())
    return session.exec(newest.limit(limit)).all()


@app.post("/leads", response_model=LeadPublic, status_code=201)
def create_lead(session: SessionDep, user: UserDep, lead: LeadCreate) -> object:
    """Store a lead of the caller's."""
    stored = Lead.model_validate(lead, update={"user_id": user.id})
    session.add(stored)
    session.commit()
    session.refresh(stored)
    return stored


@app.patch("/leads/{lead_id}", response_model=LeadPublic)
def update_lead(session: SessionDep, user: UserDep, lead_id: int, lead: LeadUpdate) -> object:
    """Change a lead of the caller's."""
    stored = session.get(Lead, lead_id)
    if stored is None or stored.user_id != user.id:
        raise HTTPException(404)
    stored.sqlmodel_update(lead.model_dump(exclude_unset=True), update={"updated_at": now()})
    session.add(stored)
    session.commit()
    session.refresh(stored)
    return stored


if __name__ == "__main__":
    SQLModel.metadata.create_all(engine)
    with Session(engine) as setup:
        for user_id, user_name in enumerate(("bench", "other"), 1):
            setup.add(User(id=user_id, name=user_name))
            setup.flush()  # the token refers to it
            setup.add(Token(user_id=user_id, key=f"token-of-{user_name}"))
        setup.commit()
