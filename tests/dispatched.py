"""A mode that sees every operation of torch, without torch's compiler."""

from torch.utils._python_dispatch import TorchDispatchMode


class Watch(TorchDispatchMode):
    """A base class. torch wraps `__torch_dispatch__` of other modes so that its compiler passes over it, which imports
    the compiler (seconds) and takes longer than a small operation."""

    @classmethod
    def _should_skip_dynamo(cls):
        return False
