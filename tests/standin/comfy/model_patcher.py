"""A MODEL: shared weights with its own options."""


def copied(options):
    """Copies nested dicts and lists; everything else is shared."""
    same = {key: list(value) if isinstance(value, list) else value for key, value in options.items()}
    return {key: copied(value) if isinstance(value, dict) else value for key, value in same.items()}


class ModelPatcher:
    load_device = "cpu"

    def __init__(self, model):
        self.model, self.wrappers = model, {}
        self.model_options = {"transformer_options": {}}

    def clone(self):
        other = type(self)(self.model)
        other.model_options, other.wrappers = copied(self.model_options), copied(self.wrappers)
        return other

    def get_model_object(self, name):
        return getattr(self.model, name)

    def add_wrapper_with_key(self, kind, key, wrapper):
        self.wrappers.setdefault(kind, {}).setdefault(key, []).append(wrapper)

    def get_wrappers(self, kind, key):
        return self.wrappers.get(kind, {}).get(key, [])

    def set_model_patch_replace(self, patch, name, *block):
        replace = self.model_options["transformer_options"].setdefault("patches_replace", {})
        replace.setdefault(name, {})[block] = patch
