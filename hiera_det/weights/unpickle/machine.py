"""The instructions of a pickle, followed by a small machine that calls nothing."""

from __future__ import annotations

import codecs
import io
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hiera_det.utils.one_line import one_line
from hiera_det.weights.unpickle.limits import Limits
from hiera_det.weights.unpickle.stack import Stack

__all__ = ["Machine", "Maker"]

_CALL = 8  # what a call costs besides its instruction: what it makes takes the memory of so many values
_BATCH = 1000  # instructions that are counted at once
_BITS = 8192  # of an integer; Python writes no more than 4300 digits
_PROTOCOLS = 5
_AS_THEY_ARE = (  # instructions whose argument is the value
    "BININT BININT1 BININT2 LONG1 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE"
    " BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)


@dataclass(frozen=True, eq=False)
class Maker:
    """Stands for a constructor that a pickle names, such as ``numpy.dtype``.

    Attributes:
        name: of the constructor.
        make: our own function for it: takes the tuple of arguments as the file has them, and checks them.
    """

    name: str
    make: Callable[[tuple[Any, ...]], Any]


class Machine:
    """Follows one pickle of protocol 0 to 5.

    Args:
        stream: holds the pickle, perhaps others behind it.
        names: what a name (module, name) stands for; others are refused.
        limits: of the file.
        build: puts a state, which stands in the pickle apart, into an object that a maker gave.
        stored: gives the object that is kept outside of the pickle, by its id.
    """

    def __init__(
        self,
        stream: io.BytesIO,
        names: Mapping[tuple[str, str], Any],
        limits: Limits,
        *,
        build: Callable[[Any, Any], None],
        stored: Callable[[Any], Any] | None = None,
    ) -> None:
        self._stream, self._names, self._limits = stream, names, limits
        self._build_state, self._stored = build, stored
        self._stack = Stack(limits)
        acts = self._acts()
        self._table = {
            opcode.code.encode("latin-1"): (opcode.name, _READERS[opcode.name], acts.get(opcode.name))
            for opcode in pickletools.opcodes
        }

    def load(self) -> Any:
        """The value that the pickle stands for; the stream is then behind it.

        Raises:
            ValueError: it is damaged, or asks for more than plain values and what the makers know.
        """
        stream, table, count = self._stream, self._table, 0
        read = stream.read
        try:
            while (code := read(1)) != b".":
                if code not in table:
                    raise ValueError(f"byte {stream.tell()} is {code!r}" if code else "it ends too early")
                name, argument, act = table[code]
                if act is None:
                    raise ValueError(f"it has the instruction {name}, which no plain data needs")
                count += 1
                if count == _BATCH:
                    self._limits.take_values(count)
                    count = 0
                act(argument(stream) if argument else None)
            return self._stack.pop()
        except IndexError as error:
            raise ValueError("an instruction takes more than there is") from error

    def _acts(self) -> dict[str, Callable[[Any], object]]:
        """What is done at an instruction, with its argument."""
        it = self._stack
        return {
            **dict.fromkeys(_AS_THEY_ARE.split(), it.push),
            **dict.fromkeys(("INT", "LONG", "LONG4"), self._integer),
            **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), it.read_note),
            **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), it.note),
            "MEMOIZE": lambda _: it.note_next(),
            "PROTO": self._protocol,
            "FRAME": lambda _: None,
            "NONE": it.push,
            "NEWTRUE": lambda _: it.push(True),
            "NEWFALSE": lambda _: it.push(False),
            "EMPTY_LIST": lambda _: it.push([]),
            "EMPTY_TUPLE": lambda _: it.push(()),
            "EMPTY_DICT": lambda _: it.push({}),
            "EMPTY_SET": lambda _: it.new_set(),
            "MARK": lambda _: it.mark(),
            "POP": lambda _: it.drop(),
            "POP_MARK": lambda _: it.row(),
            "DUP": lambda _: it.repeat(),
            "LIST": lambda _: it.push(it.row()),
            "TUPLE": lambda _: it.push(tuple(it.row())),
            "TUPLE1": lambda _: it.join(1),
            "TUPLE2": lambda _: it.join(2),
            "TUPLE3": lambda _: it.join(3),
            "DICT": lambda _: it.new_dict(it.row()),
            "FROZENSET": lambda _: it.new_frozen_set(),
            "APPEND": lambda _: it.extend([it.pop()]),
            "APPENDS": lambda _: it.extend(it.row()),
            "SETITEM": lambda _: it.update([it.values.pop(-2), it.pop()]),
            "SETITEMS": lambda _: it.update(it.row()),
            "ADDITEMS": lambda _: it.add(it.row()),
            "GLOBAL": lambda pair: self._name(*pair.partition(" ")[::2]),
            "STACK_GLOBAL": lambda _: self._name(it.values.pop(-2), it.pop()),
            "REDUCE": lambda _: self._call(it.pop()),
            "BUILD": lambda _: self._build(it.pop()),
            "BINPERSID": lambda _: self._outside(it.pop()),
        }

    def _integer(self, value: int) -> None:
        if value.bit_length() > _BITS:
            raise ValueError(f"it has an integer of {value.bit_length()} bits, expected at most {_BITS}")
        self._stack.push(value)

    def _protocol(self, version: int) -> None:
        if version > _PROTOCOLS:
            raise ValueError(f"it is of protocol {version}, expected at most {_PROTOCOLS}")

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError(f"it has a {type(module).__name__} and a {type(name).__name__} for a name")
        if (module, name) not in self._names:
            raise ValueError(f"it names {one_line(f'{module}.{name}')}, which is not plain data")
        self._stack.push(self._names[module, name])

    def _call(self, arguments: Any) -> None:
        maker = self._stack.pop()
        if type(maker) is not Maker or type(arguments) is not tuple:
            raise ValueError(f"it calls a {type(maker).__name__} with a {type(arguments).__name__}")
        self._limits.take_values(_CALL)
        self._stack.push(maker.make(arguments))

    def _build(self, state: Any) -> None:
        target = self._stack.values[-1]
        if isinstance(target, OrderedDict) and isinstance(state, dict):
            return  # attributes, such as what torch notes beside a state dict; no values
        self._build_state(target, state)

    def _outside(self, key: Any) -> None:
        if self._stored is None:
            raise ValueError("it refers to an object outside of the file")
        self._stack.push(self._stored(key))


def _read_string(stream: Any) -> str:
    """A quoted string of Python 2 in protocol 0; ``pickletools`` takes it for ASCII."""
    line = pickletools.read_stringnl(stream, decode=False)
    return codecs.escape_decode(line)[0].decode("latin-1")


_READERS = {opcode.name: opcode.arg.reader if opcode.arg else None for opcode in pickletools.opcodes} | {
    "STRING": _read_string
}
