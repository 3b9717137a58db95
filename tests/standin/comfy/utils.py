"""Tensors."""


def repeat_to_batch_size(tensor, batch_size):
    return tensor.repeat(-(-batch_size // tensor.shape[0]), *[1] * (tensor.ndim - 1))[:batch_size]
