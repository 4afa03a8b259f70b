"""The sessions in which several markets trade at once."""

from array import array
from functools import lru_cache

from packages.scheduling.sessions import SessionError, SessionTable

Period = tuple[int, int, int]


@lru_cache(maxsize=64)
def joint_sessions(tables: tuple[SessionTable, ...]) -> SessionTable:
    """The open time that all of `tables` have in common, in the sessions, and with the dates, of the first one.

    A session of the first market in which the others are never all open falls away. Where one market alone has a
    break, the joint session has it too. Known is what all of them know.

    Raises:
        SessionError: there is no table, or no instant at which all are open.
    """
    if not tables:
        raise SessionError("joint sessions need at least one market")
    first = tables[0]
    if len(tables) == 1:
        return first
    name = "+".join(table.market for table in tables)
    periods = [
        (first.period_opens[period], first.period_closes[period], session)
        for session in range(len(first.labels))
        for period in range(first.first_period[session], first.end_period(session))
    ]
    for table in tables[1:]:
        periods = _intersection(periods, table)
    if not periods:
        raise SessionError(f"{name}: there is no instant at which all of these markets are open")
    first_period, labels, last = array("q"), array("q"), -1
    for index, (_, _, session) in enumerate(periods):
        if session != last:
            first_period.append(index)
            labels.append(first.labels[session])
            last = session
    return SessionTable(
        market=name,
        period_opens=array("q", [period[0] for period in periods]),
        period_closes=array("q", [period[1] for period in periods]),
        first_period=first_period,
        labels=labels,
        known_from=max(table.known_from for table in tables),
        known_until=min(table.known_until for table in tables),
    )


def _intersection(periods: list[Period], table: SessionTable) -> list[Period]:
    common = []
    for opens, closes, session in periods:
        # From the open time that holds the open, or the next one.
        start: int | None = opens if table.is_open(opens) else table.next_open(opens)
        while start is not None and start < closes:
            ends = table.next_close(start)
            if ends is None:
                break
            common.append((start, min(ends, closes), session))
            start = table.next_open(ends)
    return common
