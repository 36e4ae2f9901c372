"""What a client is told when its request is not answered."""


class RefusedError(Exception):
    """One sentence with its HTTP status. `retry_after`: seconds; the same request may succeed then."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after
