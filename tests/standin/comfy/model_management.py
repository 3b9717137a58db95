"""Interruption of a run by the user."""

interrupted = False


class InterruptProcessingException(Exception): ...


def interrupt_current_processing(value=True):
    global interrupted
    interrupted = value


def throw_exception_if_processing_interrupted():
    global interrupted
    if interrupted:
        interrupted = False
        raise InterruptProcessingException
