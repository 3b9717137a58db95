"""The example workflows, as lists of nodes, with prompts and seeds that the demo model draws well."""

from __future__ import annotations

from .parts import (
    CHECKPOINT,
    COLUMNS,
    DECODE,
    EDIT,
    EDIT_NODE,
    MORE_COLUMNS,
    PAIR,
    SAMPLER,
    SECOND_NODE,
    SOURCE,
    SPLIT,
    TALL,
    TALLER,
    WEIGHED,
    From,
    Node,
    Workflow,
    frame,
    note,
    pair,
)

WORKFLOWS = (
    Workflow(
        "p2p_start_here",
        {**COLUMNS, 5: "Side by side"},
        (
            *frame(
                "a red circle and a blue star on grass",
                "a red house and a blue star on grass",
                6,
                [Node(EDIT_NODE, "P2PPromptEdit", 2, TALLER)],
                "### Start here\n\nThere is nothing to download.\n\n1. **Run.** You get two images: **Source** and **Edit**. One "
                "word of the prompt changed, and the rest of the image stays.\n2. Drag the divider in *P2P Compare*.\n3. "
                "Change words of the **edit** prompt in *P2P Prompt Pair* and run again.\n4. Then use your own "
                "checkpoint.\n",
            ),
            *pair(),
            Node(
                14,
                "P2PCompare",
                5,
                (340, 460),
                {"source": From(SPLIT), "edits": From(SPLIT, 1), "prompts": From(PAIR)},
            ),
            note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_word_swap",
        COLUMNS,
        (
            *frame(
                "a red house in the sky",
                "a purple house in the sky",
                5,
                [Node(EDIT_NODE, "P2PWordSwap", 2, TALL)],
                "### Change a word, keep the image\n\n1. **Run.** You get two images, **Source** and **Edit**. Both start "
                "from the same noise, and the edit uses the source's attention: only the words you changed change the "
                "image.\n2. Change words of the **edit** prompt in "
                "*P2P Prompt Pair* and run again.\n3. For another layout, change the **seed** in *KSampler*.\n",
            ),
            *pair(),
            note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
            note(
                13,
                2,
                "The two main settings",
                "### The two main settings\n\n**cross_end**: how long the edit follows the source's layout. Lower it when "
                "the new word does not show.\n\n**self_end**: how long it follows the source's outlines. Raise it to "
                "recolour a thing; lower it to replace it with a thing of another shape.\n\nBoth 0: the edit prompt "
                "alone, without control.\n",
                (310, 270),
            ),
        ),
    ),
    Workflow(
        "p2p_prompt_edit",
        COLUMNS,
        (
            *frame(
                "a red house in the sky",
                "a blue house in the sky",
                5,
                [Node(EDIT_NODE, "P2PPromptEdit", 2, TALLER)],
                "### Edit the prompt, keep the image\n\n*P2P Prompt Edit* compares the two prompts: changed words are "
                "swapped, added words get their own attention, removed words are dropped. After a run the node reports "
                "what it did.\n\nChange the **edit** prompt as you like and run again.\n",
            ),
            *pair(),
            note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_refine",
        COLUMNS,
        (
            *frame(
                "a house on sand",
                "a purple house on sand",
                10,
                [Node(EDIT_NODE, "P2PRefine", 2, TALL)],
                "### Add words, keep the image\n\nWords in both prompts are drawn where the source has them; new words "
                "use their own attention.\n",
            ),
            *pair(),
            note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_reweight",
        COLUMNS,
        (
            *frame(
                "a blue house on sand",
                "",
                0,
                [
                    Node(
                        EDIT_NODE,
                        "P2PReweight",
                        2,
                        TALL,
                        {"weights": "blue: 3\n---\nblue: 0\n---\nblue: -1"},
                    )
                ],
                "### Strengthen or weaken a word\n\nThe **edit** prompt is empty: you get the plain image of the source "
                "prompt and one more per block of weights in *P2P Reweight*, all from the same noise. 1 = unchanged, "
                "> 1 = stronger, 0 = removed, < 0 = push away from it.\n",
            ),
            Node(EDIT, "PreviewImage", 4, (420, 520), {"images": From(DECODE)}, WEIGHED),
            note(12, 4, "Your own checkpoint", CHECKPOINT, (420, 260)),
        ),
    ),
    Workflow(
        "p2p_local_blend",
        MORE_COLUMNS | {5: "Mask"},
        (
            *frame(
                "a red circle and a blue star on grass",
                "a red house and a blue star on grass",
                6,
                [
                    Node(EDIT_NODE, "P2PPromptEdit", 2, (330, 540)),
                    Node(
                        SECOND_NODE,
                        "P2PLocalBlend",
                        2,
                        (330, 540),
                        {"source_words": "circle", "edit_words": "house"},
                    ),
                ],
                "### Change one region, keep the rest exactly\n\n*P2P Local Blend* computes a mask from where the words "
                "attend. Outside it, the edit's latent equals the source's to the last bit. *P2P Blend Mask* shows the "
                "mask.\n\nIf the mask is too small, lower the **threshold**. If it is too large, raise it, or list "
                "words to subtract.\n",
            ),
            *pair(),
            Node(
                15,
                "P2PBlendMask",
                5,
                (310, 440),
                {"store": From(SECOND_NODE, 1), "latent": From(SAMPLER), "images": From(DECODE)},
            ),
            Node(16, "MaskToImage", 5, (290, 40), {"mask": From(15)}),
            Node(17, "PreviewImage", 5, (290, 310), {"images": From(16)}, "Mask"),
            note(12, 5, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
    Workflow(
        "p2p_attention_maps",
        MORE_COLUMNS,
        (
            *frame(
                "a red circle and a blue star on grass",
                "",
                6,
                [Node(EDIT_NODE, "P2PAttentionStore", 2, (310, 330), {"words": "circle, star, grass"})],
                "### Where the words attend\n\n*P2P Attention Store* records the attention maps of words during a "
                "sampling, with or without an edit. *P2P Attention Maps* draws them over the image and outputs a mask "
                "of a word.\n",
            ),
            Node(
                18,
                "P2PAttentionMaps",
                4,
                (310, 640),
                {"store": From(EDIT_NODE, 1), "latent": From(SAMPLER), "images": From(DECODE)},
            ),
            Node(SOURCE, "PreviewImage", 4, (310, 330), {"images": From(DECODE)}, "Image"),
            Node(EDIT, "PreviewImage", 5, (560, 300), {"images": From(18, 0)}, "Maps"),
            Node(17, "PreviewImage", 5, (560, 300), {"images": From(18, 1)}, "Over the image"),
            note(12, 5, "Your own checkpoint", CHECKPOINT, (560, 200)),
        ),
    ),
    Workflow(
        "p2p_several_edits",
        COLUMNS,
        (
            *frame(
                "a red house in the sky",
                "a blue house in the sky\n---\na red fish in the sky\n---\na red house at night",
                5,
                [Node(EDIT_NODE, "P2PPromptEdit", 2, TALLER)],
                "### Several edits of one image\n\nA line of three dashes separates the edit prompts. One run draws all of "
                "them, from the same noise, each with its own alignment.\n",
            ),
            Node(SPLIT, "P2PSplitPair", 3, (290, 120), {"prompts": From(PAIR), "images": From(DECODE)}),
            Node(SOURCE, "PreviewImage", 4, (290, 310), {"images": From(SPLIT)}, "Source"),
            Node(EDIT, "PreviewImage", 4, (290, 360), {"images": From(SPLIT, 1)}, "Edits"),
            note(12, 4, "Your own checkpoint", CHECKPOINT, (290, 300)),
        ),
    ),
)
