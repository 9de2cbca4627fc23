"""What pickles name to make plain values: Python has no instructions for all of them in all protocols."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any

from hiera_det.weights.unpickle.keys import check_key
from hiera_det.weights.unpickle.limits import Limits
from hiera_det.weights.unpickle.machine import Maker

__all__ = ["PLAIN", "plain_names"]

PLAIN = (str, bytes, bytearray, int, float, complex, bool, NoneType)  # types of values that hold no others
_LATIN = ("latin1", "latin-1")  # how bytes are written as text, and the only encoding that is known


def plain_names(limits: Limits) -> Mapping[tuple[str, str], Maker]:
    """Makers of bytes, sets, complex numbers and ordered dicts, by module and name.

    Args:
        limits: of the file.
    """

    def encode(arguments: tuple[Any, ...]) -> bytes:
        match arguments:
            case (str(text), encoding) if encoding in _LATIN:
                limits.take_bytes(len(text))
                return text.encode("latin-1")
        raise _wrong("_codecs.encode", arguments)

    def of_bytes(kind: Callable[[Any], Any], name: str) -> Callable[[tuple[Any, ...]], Any]:
        def make(arguments: tuple[Any, ...]) -> Any:
            match arguments:
                case ():
                    return kind(b"")
                case (bytes(content),):
                    limits.take_bytes(len(content))
                    return kind(content)
                case (str(), _):
                    return kind(encode(arguments))
            raise _wrong(name, arguments)

        return make

    def of_members(kind: Callable[[Any], Any], name: str) -> Callable[[tuple[Any, ...]], Any]:
        def make(arguments: tuple[Any, ...]) -> Any:
            match arguments:
                case ():
                    return kind(())
                case (list(members),):
                    limits.take_values(len(members))
                    for member in members:
                        check_key(member, limits)
                    return kind(members)
            raise _wrong(name, arguments)

        return make

    def make_complex(arguments: tuple[Any, ...]) -> complex:
        match arguments:
            case (float(real), float(imaginary)):
                return complex(real, imaginary)
        raise _wrong("complex", arguments)

    def ordered(arguments: tuple[Any, ...]) -> OrderedDict[Any, Any]:
        found: OrderedDict[Any, Any] = OrderedDict()
        match arguments:
            case ():
                return found
            case (list(pairs),):  # Python 2's
                limits.take_values(len(pairs))
                for pair in pairs:
                    if type(pair) not in (list, tuple) or len(pair) != 2:
                        raise _wrong("OrderedDict", arguments)
                    check_key(pair[0], limits)
                    found[pair[0]] = pair[1]
                return found
        raise _wrong("OrderedDict", arguments)

    makers = {
        "bytearray": of_bytes(bytearray, "bytearray"),
        "bytes": of_bytes(bytes, "bytes"),
        "complex": make_complex,
        "frozenset": of_members(frozenset, "frozenset"),
        "set": of_members(set, "set"),
    }
    return {
        **{
            (module, name): Maker(name, make)
            for module in ("builtins", "__builtin__")  # Python 3, Python 2
            for name, make in makers.items()
        },
        ("_codecs", "encode"): Maker("_codecs.encode", encode),
        ("collections", "OrderedDict"): Maker("OrderedDict", ordered),
    }


def _wrong(name: str, arguments: tuple[Any, ...]) -> ValueError:
    return ValueError(f"it calls {name} with ({', '.join(type(one).__name__ for one in arguments[:8])})")
