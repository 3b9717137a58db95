"""Small tokenizers of the kinds that come inside checkpoints, made on the spot."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

TEXT = """a photo of a fluffy red cat, sitting on grass. a photo of a fluffy red dog, sitting on grass.
the old man wears a T-shirt and the young woman does not. don't read this sign: it says hello world.
a watercolor of two boats near the sea at night with stars, 12 birds and 345 fish in the sky
You are an assistant. user system assistant model. Describe the image by its color, shape and size."""


@functools.cache
def spiece(bos: bool, byte_fallback: bool) -> Any:
    """A SentencePiece model in a tensor of bytes: with a start like Gemma's, without one like umT5's."""
    import sentencepiece
    import torch

    ids = {"bos_id": 2, "unk_id": 3} if bos else {"bos_id": -1, "unk_id": 2}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.splitlines() * 20),
        model_writer=model,
        vocab_size=430 if byte_fallback else 170,
        byte_fallback=byte_fallback,
        hard_vocab_limit=False,
        minloglevel=2,
        pad_id=0,
        eos_id=1,
        **ids,
    )
    return torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8)


def _merged(words: list[str]) -> Iterator[bytes]:
    """What byte pairs have to be merged for these words to be tokens."""
    for word in words:
        data = word.encode()
        for stop in range(2, len(data) + 1):
            yield data[:stop]


WORDS = [
    " photo",
    " of",
    " cat",
    "cat",
    " dog",
    "dog",
    " red",
    " sitting",
    " on",
    " grass",
    "-sh",
    " '",
    " is",
]


def tekken() -> Any:
    """A Mistral vocabulary in a tensor of bytes."""
    import torch

    special = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", *(f"<s{i}>" for i in range(5, 11)), "<pad>"]
    special += [f"<s{i}>" for i in range(12, 17)] + ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<s19>"]
    tokens = list(dict.fromkeys([*(bytes([i]) for i in range(256)), *_merged(WORDS)]))
    data = {
        "config": {
            "default_num_special_tokens": len(special),
            "default_vocab_size": len(tokens) + len(special),
        },
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode()} for i, t in enumerate(tokens)],
        "special_tokens": [{"rank": i, "token_str": text} for i, text in enumerate(special)],
    }
    return torch.frombuffer(bytearray(json.dumps(data).encode()), dtype=torch.uint8)


LLAMA = (  # where Llama 3 cuts a text before it joins bytes
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def bpe_json(
    special: dict[str, int], fixed: dict[str, int], start: str | None, words: Sequence[str] = ()
) -> str:
    """A tokenizer.json with byte-level BPE. fixed: tokens whose numbers the host knows; words: tokens."""
    letters = _letters()
    merges: dict[tuple[str, str], None] = {}
    vocabulary = {**special, **fixed}
    free = (i for i in count() if i not in fixed.values())
    for text in [
        *letters.values(),
        *("".join(letters[b] for b in t) for t in _merged([*WORDS, *words, "user", "\n\n"])),
    ]:
        if text not in vocabulary:
            vocabulary[text] = next(free)
        if len(text) > 1:
            merges[(text[:-1], text[-1])] = None
    single: list[dict[str, Any]] = [{"Sequence": {"id": "A", "type_id": 0}}]
    if start:
        single.insert(0, {"SpecialToken": {"id": start, "type_id": 0}})
    marks = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": [{"id": i, "content": text, **marks} for text, i in special.items()],
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": LLAMA}, "behavior": "Isolated", "invert": False},
                    {
                        "type": "ByteLevel",
                        "add_prefix_space": False,
                        "trim_offsets": True,
                        "use_regex": False,
                    },
                ],
            },
            "post_processor": start
            and {
                "type": "TemplateProcessing",
                "single": single,
                "pair": single,
                "special_tokens": {start: {"id": start, "ids": [special[start]], "tokens": [start]}},
            },
            "decoder": {
                "type": "ByteLevel",
                "add_prefix_space": True,
                "trim_offsets": True,
                "use_regex": True,
            },
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [f"{a} {b}" for a, b in merges]},
        }
    )


def llama_folder(folder: Path) -> Path:
    """A folder with a tokenizer like Llama 3's; the host cuts its template by the numbers of tokens."""
    special = {"<|begin_of_text|>": 128000, "<|start_header_id|>": 128006, "<|end_header_id|>": 128007}
    special |= {"<|eot_id|>": 128009, "<image>": 128257, "<pad>": 128258}
    text = bpe_json(special, {"user": 882, "ĊĊ": 271}, "<|begin_of_text|>")
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def rendered(template: str) -> Any:
    """A tokenizer.json for Lens, in a tensor of bytes, with the words of its template as tokens."""
    import torch

    names = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|endoftext|>"]
    special = {name: 199998 + i for i, name in enumerate(names)}
    words = list(dict.fromkeys(re.findall(r" ?[A-Za-z]+", template)))
    return torch.frombuffer(bytearray(bpe_json(special, {}, None, words).encode()), dtype=torch.uint8)


def _letters() -> dict[int, str]:
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [b for b in range(256) if b not in set(kept)]
    return {b: chr(b) for b in kept} | {b: chr(256 + i) for i, b in enumerate(moved)}
