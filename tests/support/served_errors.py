"""Every error that a client can be told."""

from serving.errors import ServedError


def served_errors(base=ServedError):
    for error in base.__subclasses__():
        if "code" in vars(error):
            yield error
        yield from served_errors(error)
