"""Interruption of a run by the user, and the memory of the device."""

interrupted = False


class InterruptProcessingException(Exception): ...


def interrupt_current_processing(value=True):
    global interrupted
    interrupted = value


def get_total_memory(device):
    return 1 << 33


def get_free_memory(device):
    return 1 << 33


def throw_exception_if_processing_interrupted():
    global interrupted
    if interrupted:
        interrupted = False
        raise InterruptProcessingException
