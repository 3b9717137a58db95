"""Every key that the pack writes into a dict of the host. All start with `p2p.`; no other pack's does."""

# of a MODEL and of a sampling
PLAN = "p2p.plan"  # in the transformer options: the plan
SAMPLING = "p2p.sampling"  # of the pack's wrappers
CALL = "p2p.call"  # in the transformer options of one model call: where its tokens stand
SIDE = "p2p.rows"  # among a guider's conditionings: the edit prompts of pairs

# of a CONDITIONING
PAIR = "p2p.pair"  # in an entry and its model conds: whose rows it holds

# of what a node hands to the front end (web/js)
SUMMARY = "p2p.summary"
PROMPTS = "p2p.prompts"
WINDOWS = "p2p.windows"
MAPS = "p2p.maps"
MASKS = "p2p.masks"
PAIRS = "p2p.pairs"
