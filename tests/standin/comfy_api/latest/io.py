"""Declares nodes. Every name that is not defined here is a socket type: `io.Model` is MODEL."""

from operator import methodcaller


class Socket:
    def __init__(
        self, id=None, default=None, optional=False, display_name=None, tooltip=None, **options
    ):  # fmt: skip
        self.id, self.default, self.optional = id, default, optional
        self.display_name, self.tooltip = display_name, tooltip


def Custom(io_type):
    sockets = {name: type(name, (Socket,), {"io_type": io_type}) for name in ("Input", "Output")}
    return type(io_type, (), sockets)


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    return Custom(name.upper())


class Schema:
    def __init__(self, node_id, inputs, outputs, display_name=None, description="", **options):
        self.node_id, self.inputs, self.outputs = node_id, inputs, outputs
        self.display_name, self.description = display_name, description


class NodeOutput:
    def __init__(self, *args, ui=None):
        self.args, self.ui = args, ui


class ComfyNode:
    GET_SCHEMA = classmethod(methodcaller("define_schema"))
