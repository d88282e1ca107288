"""All that an account holds, in whatever service: what a test compares before and after a command."""

import hashlib
import json
import sys

from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

from . import generic

# An item longer than this is given by its start and its digest.
LONGEST = 4000


def of_account(account):
    """Every item of every store: `{"MODULE.STORE REGION KEY": text}`. The objects of a bucket are items of their own."""
    items = {}
    for name, store in _stores():
        for scoped, value in list(store._data.items()):
            if scoped[0] == account:
                _add(items, name, scoped[1:], value)
    return items


def _stores():
    """The stores of all services that have been called: one that has not is not even loaded, and holds nothing."""
    yield "generic", generic.RESOURCES
    seen = set()  # modules import each other's stores
    for path, module in sorted(sys.modules.items()):
        if path.startswith("ministack.services."):
            for name, store in sorted(vars(module).items()):
                if isinstance(store, AccountScopedDict | AccountRegionScopedDict) and id(store) not in seen:
                    seen.add(id(store))
                    yield f"{path.removeprefix('ministack.services.')}.{name}", store


def _add(items, store, key, value):
    shown = " ".join(str(part) for part in key)
    if store == "s3._buckets":
        value = dict(value)
        for name, content in value.pop("objects", {}).items():
            items[f"s3.objects {shown}/{name}"] = _text(content)
    items[f"{store} {shown}"] = _text(value)


def _text(value):
    text = json.dumps(value, default=_plain, sort_keys=True)
    if len(text) > LONGEST:
        return f"{text[:LONGEST]}… sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return text


def _plain(value):
    """What JSON does not know. An object says nothing of where in memory it is."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes, sha256:{hashlib.sha256(value).hexdigest()}"
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if hasattr(value, "items"):
        return {str(key): item for key, item in value.items()}
    if hasattr(value, "__dict__"):
        return {type(value).__name__: {str(key): str(item) for key, item in vars(value).items() if "lock" not in key}}
    return f"{type(value).__name__}"
