"""The node that runs now: none, as outside of a prompt."""


def get_executing_context():
    return None
