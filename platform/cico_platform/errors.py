"""The errors that people see: a sentence saying what was wrong, where, and what to do."""


class CicoError(Exception):
    """Something failed; the command line prints the message and exits with 1."""

    exit_code = 1


class InputError(CicoError):
    """The arguments or the input cannot be used; the command line exits with 2."""

    exit_code = 2
