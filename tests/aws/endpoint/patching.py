"""Replaces ministack's functions with functions marked `@patch`, each of which can be disabled by its name."""

import os

_patches = {}


def patch(function):
    """Marks a function that replaces something in ministack when the endpoint starts."""
    _patches[function.__name__] = function
    return function


def apply_all():
    """Applies all patches in the order of import, except those in ENDPOINT_WITHOUT (`all`, or a,b,c)."""
    without = set(filter(None, os.environ.get("ENDPOINT_WITHOUT", "").split(",")))
    unknown = without - set(_patches) - {"all"}
    if unknown:
        raise SystemExit(f"ENDPOINT_WITHOUT names no patch: {', '.join(sorted(unknown))}")
    for name, function in _patches.items():
        if not without & {name, "all"}:
            function()


def replace(name, function, *modules):
    """Replaces a function in every module that has imported it by name."""
    for module in modules:
        if hasattr(module, name):
            setattr(module, name, function)
