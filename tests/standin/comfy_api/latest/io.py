"""Declaring a node."""

from dataclasses import dataclass


class Socket:
    """An input or an output; outputs may go without an id."""

    def __init__(self, id=None, default=None, optional=False, display_name=None, **options):
        self.id, self.default, self.optional, self.display_name = id, default, optional, display_name


def Custom(io_type):
    sockets = {name: type(name, (Socket,), {"io_type": io_type}) for name in ("Input", "Output")}
    return type(io_type, (), sockets)


Clip, Conditioning, Float, Image, Int, Latent = map(
    Custom, "CLIP CONDITIONING FLOAT IMAGE INT LATENT".split()
)
Mask, Model, String, Vae = map(Custom, "MASK MODEL STRING VAE".split())


@dataclass
class Schema:
    node_id: str
    display_name: str
    category: str
    inputs: list
    outputs: list
    description: str = ""


class NodeOutput:
    def __init__(self, *args):
        self.args = args


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls):
        schema = cls.define_schema()
        ids = [socket.id for socket in (*schema.inputs, *schema.outputs) if socket.id]
        if len(ids) != len(set(ids)):
            raise ValueError(f"ids of inputs and outputs of {schema.node_id} must differ: {ids}")
        return schema
