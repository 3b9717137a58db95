"""Tensors."""


def repeat_to_batch_size(tensor, batch_size):
    times = -(-batch_size // tensor.shape[0])
    return tensor.repeat(times, *[1] * (tensor.ndim - 1))[:batch_size]
