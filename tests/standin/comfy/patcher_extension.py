"""Wrappers around the steps of a sampling: {type: {key: [wrapper]}}."""


class WrappersMP:
    OUTER_SAMPLE = "outer_sample"
    SAMPLER_SAMPLE = "sampler_sample"
    PREDICT_NOISE = "predict_noise"
    CALC_COND_BATCH = "calc_cond_batch"


class WrapperExecutor:
    """A function inside wrappers; each wrapper gets the executor of the next inner one."""

    def __init__(self, original, class_obj, wrappers):
        self.original, self.class_obj, self.wrappers = original, class_obj, wrappers

    def __call__(self, *args, **kwargs):
        if not self.wrappers:
            return self.original(*args, **kwargs)
        inner = WrapperExecutor(self.original, self.class_obj, self.wrappers[1:])
        return self.wrappers[0](inner, *args, **kwargs)


def inside_wrappers(kind, original, class_obj, model_options):
    keyed = model_options["transformer_options"].get("wrappers", {}).get(kind, {})
    return WrapperExecutor(original, class_obj, [wrapper for group in keyed.values() for wrapper in group])
