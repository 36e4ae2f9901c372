"""Annotations as checks of every call, of the functions in chosen packages, once these are imported.

jaxtyping's own import hook checks the arguments twice, before and after the call, and does so for every call: more than
two thirds of the time of the tests of search. Here beartype checks arguments and result once, in a context of jaxtyping
in which a dimension has one size, and a call whose types, shapes and dtypes have passed before passes again.
"""

import ast
import functools
import inspect
import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader

import torch
from beartype import beartype
from jaxtyping import jaxtyped

DIMENSIONS = jaxtyped("context")


def checked(function):
    """`function` with checks of its arguments and its result, shapes included."""
    if not function.__annotations__:
        return function
    inner = beartype(function)
    if not any("Tensor" in str(annotation) for annotation in function.__annotations__.values()):
        return inner
    passed, result_of = set(), []
    result_only = beartype(functools.wraps(function)(lambda *args, **kwargs: result_of.pop()))

    @functools.wraps(function)
    def call(*args, **kwargs):
        if torch.compiler.is_compiling():
            return function(*args, **kwargs)
        given = (kind(args), *kwargs, kind(tuple(kwargs.values())))
        if holds(passed, given):
            result = function(*args, **kwargs)
            if holds(passed, (given, kind(result))):
                return result
            result_of.append(result)
            with DIMENSIONS:
                result_only(*args, **kwargs)
        else:
            with DIMENSIONS:
                result = inner(*args, **kwargs)
        with suppress(TypeError):
            passed.update((given, (given, kind(result))))
        return result

    return call


def holds(passed, key):
    """False also for a list, a dictionary or a set in the key, of which more than the type counts."""
    try:
        return key in passed
    except TypeError:
        return False


def kind(value):
    """What the checks look at: of a tensor type, shape and dtype; of an object its type; of a tuple that of each."""
    if isinstance(value, torch.Tensor):
        return type(value), value.shape, value.dtype
    if type(value) is tuple:
        return tuple(map(kind, value))
    return value if isinstance(value, list | tuple | dict | set | str) else type(value)


def checked_fields(cls):
    """A dataclass with checks of its fields; any other class as it is."""
    if "__dataclass_fields__" in vars(cls) and inspect.isfunction(vars(cls).get("__init__")):
        cls.__init__ = checked(cls.__init__)
    return cls


class Decorated(ast.NodeTransformer):
    """`checked` becomes the innermost decorator of each function, `checked_fields` the outermost of each class."""

    def visit_FunctionDef(self, node):
        node.decorator_list.append(decorator("checked", node))
        return self.generic_visit(node)

    def visit_ClassDef(self, node):
        node.decorator_list.insert(0, decorator("checked_fields", node))
        return self.generic_visit(node)


def decorator(name, node):
    call = ast.parse(f"__import__({__name__!r}).{name}", mode="eval").body
    for part in ast.walk(call):
        ast.copy_location(part, node)
    return call


class Loader(SourceFileLoader):
    def get_code(self, fullname):
        """Always from the source: compiled files are those without checks."""
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        return compile(ast.fix_missing_locations(Decorated().visit(tree)), path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, fullname, path=None, target=None):
        if not any(fullname == package or fullname.startswith(f"{package}.") for package in self.packages):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.name, spec.origin)
        return spec


def install(*packages):
    """Check every call of a function in these packages, which must not have been imported yet."""
    assert not set(packages) & set(sys.modules)
    sys.meta_path.insert(0, Finder(packages))
