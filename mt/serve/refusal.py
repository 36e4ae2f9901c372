"""What a client is told when its request is not answered."""


class RefusedError(Exception):
    """One sentence with its HTTP status. `retry_after`: seconds; the same request may succeed then."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after


def invalid(why: str) -> RefusedError:
    """The error for a request that cannot be answered as it is, in the words of LibreTranslate."""
    return RefusedError(400, f"Invalid request: {why}")
