"""The errors of this package. Each carries one sentence for a person, or several: what, where, what to do next."""


class GateError(Exception):
    """Anything the gate refuses to do; the text is shown to the operator as it stands."""

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class InputError(GateError):
    """What an operator wrote (a variable, a policy, an ownership map) cannot be used."""


class BundleError(GateError):
    """A bundle on disk cannot be read as one; it is never a decision."""
