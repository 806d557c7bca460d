"""The one error that a person who runs the workflow is meant to read."""


class InputError(Exception):
    """Something given to the workflow is not what it has to be.

    The command line prints it as one line and exits with status 1.
    """

    def __init__(self, where: object, field: str, saw: object, expected: object) -> None:
        """Name the place, what stands there and what could stand there.

        Args:
            where: file (or other source) that holds the mistake.
            field: key, dataset or column inside it; empty when the whole of it is meant.
            saw: what was found.
            expected: what would be accepted, or the next step to take.
        """
        self.where, self.field, self.saw, self.expected = where, field, saw, expected
        place = f"{where}: {field}" if field else str(where)
        line = f"{place}: saw {saw}, expected {expected}"
        super().__init__(" ".join(line.split()))

    def __reduce__(self) -> tuple:
        """Travel between worker processes with all four parts."""
        return InputError, (self.where, self.field, self.saw, self.expected)
