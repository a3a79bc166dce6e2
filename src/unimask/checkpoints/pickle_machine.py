"""Pickles as data: their opcodes on a stack, and no way to run anything.

Python's own unpickler imports what a file names, sizes its memory by a file's numbers, and takes
anything as the key of a dictionary: a few bytes can fill the memory, or keep it busy for years.
"""

import pickletools
from collections.abc import Callable, Iterable
from typing import BinaryIO, NamedTuple, TypeVar, cast

MAX_STEPS = 500_000
"""Opcodes per pickle; a training's whole state needs some ten thousand."""

LARGE = 2**16
"""Bytes of a value from which on it is read into memory that may be written to."""

MAX_SHARE = 8
"""How often a call may be given what the file holds, in sum over all calls."""


class Refused(Exception):
    """A pickle asks for something that weights do not need."""


class Name(NamedTuple):
    """What a pickle would import."""

    module: str
    name: str


Kind = TypeVar("Kind")
Call = Callable[[Name, tuple], object]
Fetch = Callable[[object], object]


def refuse_reference(reference: object) -> object:
    """Refuse what a pickle keeps outside of itself."""
    raise Refused("what lies outside of the pickle")


VALUES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
     "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
     "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)  # fmt: skip
"""Opcodes that bring a value with them."""

FRESH: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
"""Opcodes that make something of nothing."""

IGNORED = frozenset({"PROTO", "FRAME", "STOP"})


class Source:
    """A pickle's bytes, as `pickletools` reads them.

    Large values, which are numbers of arrays, come as bytearrays: arrays can take them for their
    own, where bytes would have to be copied.

    Args:
        stream: At the pickle's first byte.
        size: Bytes of the file, the most that there can be to read.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self.readline = stream.readline

    def read(self, count: int) -> bytes | bytearray:
        """Give the next bytes, fewer at the end."""
        if not LARGE <= count <= self.size:
            return self.stream.read(min(count, self.size))
        data = bytearray(count)
        del data[self.stream.readinto(data) :]  # type: ignore[attr-defined]
        return data


class PickleMachine:
    """Read one pickle.

    Args:
        stream: At the pickle's first byte; afterwards at the byte behind its last one.
        size: Bytes of the file, the measure of what is built.
        call: Gives what a name makes of arguments, or refuses.
        fetch: Gives what a reference to the outside means, or refuses.
    """

    def __init__(
        self, stream: BinaryIO, *, size: int, call: Call, fetch: Fetch = refuse_reference
    ) -> None:
        self.source = cast(BinaryIO, Source(stream, size))
        self.left = MAX_SHARE * max(size, 1024)
        self.call = call
        self.fetch = fetch
        self.stack: list = []
        self.below: list[list] = []
        self.memo: dict[int, object] = {}

    def read(self) -> object:
        """Give what the pickle holds.

        Raises:
            Refused: It asks for more than containers, numbers, text, and what `call` gives.
            Exception: Of any kind, where it is damaged.
        """
        for steps, (opcode, value, _) in enumerate(pickletools.genops(self.source)):
            if steps >= MAX_STEPS:
                raise Refused(f"more than {MAX_STEPS} steps")
            self.step(opcode.name, value)
        return self.stack.pop()

    def step(self, code: str, value: object) -> None:
        """Do what an opcode says."""
        if code in VALUES:
            self.stack.append(value)
        elif code in FRESH:
            self.stack.append(FRESH[code]())
        elif code in STEPS:
            STEPS[code](self, value)
        elif code not in IGNORED:
            raise Refused(f"the opcode {code}")

    def marked(self) -> list:
        """Take off what lies above the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self, _: object) -> None:
        """Lay a mark."""
        self.below.append(self.stack)
        self.stack = []

    def pop(self, _: object) -> None:
        """Throw one thing away; a mark, if nothing lies above it."""
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def store(self, index: object) -> None:
        """Remember what lies on top; without a number, under the next one."""
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]  # type: ignore[index]

    def recall(self, index: object) -> None:
        """Lay what is remembered."""
        self.stack.append(self.memo[index])  # type: ignore[index]

    def gather(self, kind: Callable[[list], object]) -> None:
        """Make one thing of what is marked."""
        items = self.marked()
        self.stack.append(kind(items))

    def gather_last(self, count: int) -> None:
        """Make a tuple of the topmost things."""
        self.stack.append(tuple([self.stack.pop() for _ in range(count)][::-1]))

    def extend(self, items: list) -> None:
        """Add to the list on top."""
        expect(self.stack[-1], list).extend(items)

    def fill(self, items: list) -> None:
        """Add keys and values, in turn, to the dictionary on top."""
        target = expect(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain(key)] = value

    def dictionary(self, _: object) -> None:
        """Make a dictionary of what is marked."""
        items = self.marked()
        self.stack.append({})
        self.fill(items)

    def add(self, items: list) -> None:
        """Add to the set on top."""
        expect(self.stack[-1], set).update(plain(item) for item in items)

    def name(self, value: object) -> None:
        """Lay a name; of two texts on top, if the opcode brings none."""
        if isinstance(value, str):
            module, _, name = value.partition(" ")
        else:
            module, name = expect(self.stack.pop(-2), str), expect(self.stack.pop(), str)
        self.stack.append(Name(module, name))

    def make(self, _: object) -> None:
        """Make something of a name and its arguments."""
        arguments = expect(self.stack.pop(), tuple)
        name = self.stack.pop()
        if not isinstance(name, Name):
            raise Refused(f"a call of {type(name).__name__}")
        self.spend(arguments)
        self.stack.append(self.call(name, arguments))

    def build(self, _: object) -> None:
        """Give a thing its state, where it takes one."""
        state = self.stack.pop()
        take = getattr(self.stack[-1], "take_state", None)
        if take is None or isinstance(self.stack[-1], Name):
            raise Refused(f"a state for {type(self.stack[-1]).__name__}")
        self.spend(state if isinstance(state, tuple) else (state,))
        take(state)

    def reference(self, _: object) -> None:
        """Fetch something from outside."""
        self.stack.append(self.fetch(self.stack.pop()))

    def spend(self, arguments: Iterable[object]) -> None:
        """Count what calls are given, so that one large thing is not copied time and again."""
        sized = (str, bytes, bytearray, list, tuple, dict)
        self.left -= sum(len(value) for value in arguments if isinstance(value, sized))
        if self.left < 0:
            raise Refused("far more than the file holds")


def expect(value: object, kind: type[Kind]) -> Kind:
    """Give a value that has to be of a kind.

    Raises:
        ValueError: It is of another.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def plain(key: object) -> object:
    """Give a key that is quickly hashed: tuples in tuples may take for ever.

    Raises:
        Refused: It is no number, no text, nor a short tuple of such.
    """
    parts = key if type(key) is tuple and len(key) <= 16 else (key,)
    for part in parts:
        short = isinstance(part, int) and abs(part) < 2**64
        if not short and not isinstance(part, float | str | bytes | None):
            raise Refused("a key that is neither number nor text")
    return key


Step = Callable[[PickleMachine, object], None]

STEPS: dict[str, Step] = {
    "MARK": PickleMachine.mark,
    "POP": PickleMachine.pop,
    "POP_MARK": lambda machine, _: machine.marked().clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), PickleMachine.store),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), PickleMachine.recall),
    "TUPLE1": lambda machine, _: machine.gather_last(1),
    "TUPLE2": lambda machine, _: machine.gather_last(2),
    "TUPLE3": lambda machine, _: machine.gather_last(3),
    "TUPLE": lambda machine, _: machine.gather(tuple),
    "LIST": lambda machine, _: machine.gather(list),
    "FROZENSET": lambda machine, _: machine.gather(lambda items: frozenset(map(plain, items))),
    "DICT": PickleMachine.dictionary,
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "SETITEM": lambda machine, _: machine.fill([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.fill(machine.marked()),
    "ADDITEMS": lambda machine, _: machine.add(machine.marked()),
    "GLOBAL": PickleMachine.name,
    "STACK_GLOBAL": PickleMachine.name,
    "REDUCE": PickleMachine.make,
    "NEWOBJ": PickleMachine.make,
    "BUILD": PickleMachine.build,
    "BINPERSID": PickleMachine.reference,
}
"""What the other opcodes do; those that are not here are refused."""
