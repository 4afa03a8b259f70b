"""What can go wrong when an approval is decided.

TradeApprovalError(approval_id)
├── UnknownApprovalError
├── ApprovalAlreadyDecidedError(status)
└── UnknownDeciderError(user_id)
"""


class TradeApprovalError(Exception):
    """The root of the tree above."""

    def __init__(self, message: str, *, approval_id: int) -> None:
        super().__init__(message)
        self.approval_id = approval_id


class UnknownApprovalError(TradeApprovalError):
    """There is no such approval."""

    def __init__(self, *, approval_id: int) -> None:
        super().__init__(f"there is no approval {approval_id}", approval_id=approval_id)


class ApprovalAlreadyDecidedError(TradeApprovalError):
    """Another decision came first, or the time for one is over: `status` is approved, rejected or expired."""

    def __init__(self, *, approval_id: int, status: str) -> None:
        super().__init__(f"approval {approval_id} is {status} already", approval_id=approval_id)
        self.status = status


class UnknownDeciderError(TradeApprovalError):
    """No active user has the id given for the person who decides."""

    def __init__(self, *, approval_id: int, user_id: int) -> None:
        super().__init__(f"approval {approval_id}: there is no active user {user_id}", approval_id=approval_id)
        self.user_id = user_id
