"""Tensor helpers, and the progress of a node."""


def repeat_to_batch_size(tensor, batch_size):
    return tensor.repeat(-(-batch_size // tensor.shape[0]), *[1] * (tensor.ndim - 1))[:batch_size]


class ProgressBar:
    hook = None  # called with (done, total)

    def __init__(self, total):
        self.total = total

    def update_absolute(self, value):
        if ProgressBar.hook:
            ProgressBar.hook(value, self.total)
