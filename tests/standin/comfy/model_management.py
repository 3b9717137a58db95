"""How a run is stopped."""


class InterruptProcessingException(BaseException):
    pass
