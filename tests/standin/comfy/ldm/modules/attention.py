"""The transformer block whose two attentions can be replaced."""

from torch import nn


def optimized_attention(q, k, v, heads, attn_precision=None, transformer_options=None):
    q, k, v = (t.unflatten(2, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    def __init__(self, dim, context_dim):
        super().__init__()
        self.to_q, self.to_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.to_k, self.to_v = nn.Linear(context_dim, dim), nn.Linear(context_dim, dim)


class BasicTransformerBlock(nn.Module):
    def __init__(self, dim, heads, context_dim):
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn1, self.attn2 = CrossAttention(dim, dim), CrossAttention(dim, context_dim)

    def forward(self, x, context, transformer_options):
        n = self.norm1(x)
        x = x + self.attention("attn1", n, n, transformer_options)
        return x + self.attention("attn2", self.norm2(x), context, transformer_options)

    def attention(self, name, n, context, options):
        layer = getattr(self, name)
        q, k, v = layer.to_q(n), layer.to_k(context), layer.to_v(context)
        patches = options.get("patches_replace", {}).get(name, {})
        patch = patches.get((*options["block"], options["block_index"]), patches.get(options["block"]))
        if patch is None:
            return layer.to_out(optimized_attention(q, k, v, self.heads, transformer_options=options))
        extra = {key: value for key, value in options.items() if key not in ("patches", "patches_replace")}
        extra |= {"n_heads": self.heads, "dim_head": q.shape[2] // self.heads, "attn_precision": None}
        return layer.to_out(patch(q, k, v, extra))
