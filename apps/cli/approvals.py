"""`minsy approvals`: the orders that wait for a person, and that person's answer.

Whoever can run the command can answer for any active user: it checks who exists, not who types.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from apps.cli.environment import use_database
from apps.cli.errors import CommandError
from apps.cli.output import AsJson, coloured, is_wide, print_json, print_table
from packages.domain.accounts.active_user import NoActiveUserError, active_user_id
from packages.domain.trade_approval.decide import Decision
from packages.domain.trade_approval.decide import approve as approve_order
from packages.domain.trade_approval.decide import reject as reject_order
from packages.domain.trade_approval.errors import TradeApprovalError
from packages.domain.trade_approval.listing import ListedApproval, list_approvals
from packages.shared_settings import get_worker_io_settings

app = typer.Typer(no_args_is_help=True, help="See and answer the orders that wait for an approval.")

MOST_LISTED = 200

ApprovalId = Annotated[int, typer.Argument(metavar="ID", help="The approval, by the id in `minsy approvals list`.")]
By = Annotated[str, typer.Option("--by", metavar="EMAIL", help="The active user who decides.")]


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="The decided and expired ones, too; newest first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the approvals that wait for a decision, the next to expire first."""
    with use_database() as sessions, sessions.begin() as session:
        approvals = list_approvals(session, now=datetime.now(UTC), limit=MOST_LISTED, decided=everything)
    if as_json:
        print_json([asdict(approval) for approval in approvals])
    elif approvals:
        details = is_wide()
        decided = ["order is", *(["by"] if details else [])] if everything else []
        print_table(
            ["id", "status", "until (UTC)", "order", *decided, *(["owner"] if details else []), "why"],
            (_row(approval, everything=everything, details=details) for approval in approvals),
            shortened="why",
        )
    else:
        typer.echo("No approval was ever asked for." if everything else "No approval waits for a decision.")


@app.command()
def approve(approval_id: ApprovalId, *, by: By, as_json: AsJson = False) -> None:
    """Approve: the order is filled at the latest stored price, or rejected when that cannot be. Says which."""
    fee_rate = get_worker_io_settings().fee_rate
    with _deciding(by) as (session, user_id):
        decision = approve_order(
            session, approval_id=approval_id, by_user_id=user_id, now=datetime.now(UTC), fee_rate=fee_rate
        )
    _print_decision("approved", decision, as_json=as_json)


@app.command()
def reject(approval_id: ApprovalId, *, by: By, as_json: AsJson = False) -> None:
    """Reject: the order is closed unfilled."""
    with _deciding(by) as (session, user_id):
        decision = reject_order(session, approval_id=approval_id, by_user_id=user_id, now=datetime.now(UTC))
    _print_decision("rejected", decision, as_json=as_json)


@contextmanager
def _deciding(email: str) -> Iterator[tuple[Session, int]]:
    """One transaction for one decision of this user; what stands against it is said in a sentence."""
    try:
        with use_database() as sessions, sessions.begin() as session:
            yield session, active_user_id(session, email)
    except (NoActiveUserError, TradeApprovalError) as error:
        raise CommandError(str(error)) from None


def _print_decision(verb: str, decision: Decision, *, as_json: bool) -> None:
    if as_json:
        print_json({"decision": verb, **asdict(decision)})
    else:
        typer.echo(
            f"approval {decision.approval_id} is {verb}; "
            f"order {decision.order_id} is {decision.order_status} ({decision.reason})"
        )


def _row(approval: ListedApproval, *, everything: bool, details: bool) -> list[object]:
    return [
        approval.approval_id,
        coloured(approval.status),
        f"{approval.expires_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        f"{approval.side} {approval.quantity:f} {approval.symbol} at {approval.reference_price:f}",
        *([coloured(approval.order_status)] if everything else []),
        *([approval.decided_by] if everything and details else []),
        *([approval.owner] if details else []),
        approval.reason,
    ]
