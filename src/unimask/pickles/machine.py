"""A pickle interpreter for data only: it executes opcodes on a stack and calls no arbitrary code.

Python's unpickler imports what a file names, allocates memory by numbers in the file, and accepts
any object as a dictionary key: a few bytes can exhaust memory, or take unbounded time.
"""

import pickletools
from collections.abc import Callable, Iterable
from typing import BinaryIO, NamedTuple, TypeVar, cast

MAX_STEPS = 500_000
"""Maximum number of opcodes per pickle; a complete training state needs some ten thousand."""

MIN_WRITABLE_BYTES = 2**16
"""Size in bytes from which values are read into writable memory."""

MAX_ARGUMENT_FACTOR = 8
"""Total size of the arguments of all calls, as a multiple of the file's size."""


class UnsafePickleError(Exception):
    """A pickle requests something that weights do not need."""


class Name(NamedTuple):
    """A name that a pickle would import."""

    module: str
    name: str


Kind = TypeVar("Kind")
Call = Callable[[Name, tuple], object]
Fetch = Callable[[object], object]


def refuse_reference(reference: object) -> object:
    """Refuse objects that a pickle stores outside itself."""
    raise UnsafePickleError("what lies outside of the pickle")


VALUE_OPCODES = frozenset(
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
     "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
     "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
)  # fmt: skip
"""Opcodes that carry a value."""

CONSTRUCTOR_OPCODES: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
"""Opcodes that create a new value."""

IGNORED_OPCODES = frozenset({"PROTO", "FRAME", "STOP"})


class Source:
    """The bytes of a pickle, with the interface that `pickletools` reads.

    Large values, which are data of arrays, are returned as bytearrays, which arrays can use as
    their memory; bytes would have to be copied.

    Args:
        stream: Stream at the first byte of the pickle.
        size: Size of the file in bytes, the maximum that can be read.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self.readline = stream.readline

    def read(self, count: int) -> bytes | bytearray:
        """Read the next bytes; fewer at the end."""
        if not MIN_WRITABLE_BYTES <= count <= self.size:
            return self.stream.read(min(count, self.size))
        data = bytearray(count)
        del data[self.stream.readinto(data) :]  # type: ignore[attr-defined]
        return data


class PickleMachine:
    """Interpreter of one pickle.

    Args:
        stream: Stream at the first byte of the pickle; afterwards at the byte after its last one.
        size: Size of the file in bytes, which bounds what is built.
        call: Function from a name and its arguments to an object; it may refuse.
        fetch: Function from an external reference to an object; it may refuse.
    """

    def __init__(
        self, stream: BinaryIO, *, size: int, call: Call, fetch: Fetch = refuse_reference
    ) -> None:
        self.source = cast(BinaryIO, Source(stream, size))
        self.argument_budget = MAX_ARGUMENT_FACTOR * max(size, 1024)
        self.call = call
        self.fetch = fetch
        self.stack: list = []
        self.outer_stacks: list[list] = []
        self.memo: dict[int, object] = {}

    def read(self) -> object:
        """Execute the pickle and return its object.

        Raises:
            Refused: It requests more than containers, numbers, text, and what `call` returns.
            Exception: Any exception, if the pickle is damaged.
        """
        for steps, (opcode, value, _) in enumerate(pickletools.genops(self.source)):
            if steps >= MAX_STEPS:
                raise UnsafePickleError(f"more than {MAX_STEPS} steps")
            self.step(opcode.name, value)
        return self.stack.pop()

    def step(self, code: str, value: object) -> None:
        """Execute one opcode."""
        if code in VALUE_OPCODES:
            self.stack.append(value)
        elif code in CONSTRUCTOR_OPCODES:
            self.stack.append(CONSTRUCTOR_OPCODES[code]())
        elif code in OPCODES:
            OPCODES[code](self, value)
        elif code not in IGNORED_OPCODES:
            raise UnsafePickleError(f"the opcode {code}")

    def pop_to_mark(self) -> list:
        """Pop everything above the last mark."""
        items, self.stack = self.stack, self.outer_stacks.pop()
        return items

    def mark(self, _: object) -> None:
        """Push a mark."""
        self.outer_stacks.append(self.stack)
        self.stack = []

    def pop(self, _: object) -> None:
        """Pop one object, or the mark if nothing is above it."""
        if self.stack:
            self.stack.pop()
        else:
            self.pop_to_mark()

    def store(self, index: object) -> None:
        """Store the top of the stack in the memo, under the next free index by default."""
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]  # type: ignore[index]

    def recall(self, index: object) -> None:
        """Push an object of the memo."""
        self.stack.append(self.memo[index])  # type: ignore[index]

    def collect(self, kind: Callable[[list], object]) -> None:
        """Replace everything above the last mark by one object."""
        items = self.pop_to_mark()
        self.stack.append(kind(items))

    def collect_last(self, count: int) -> None:
        """Replace the topmost objects by a tuple."""
        self.stack.append(tuple([self.stack.pop() for _ in range(count)][::-1]))

    def extend(self, items: list) -> None:
        """Append to the list on top of the stack."""
        expect_type(self.stack[-1], list).extend(items)

    def set_items(self, items: list) -> None:
        """Add alternating keys and values to the dictionary on top of the stack."""
        target = expect_type(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[check_key(key)] = value

    def collect_dictionary(self, _: object) -> None:
        """Replace everything above the last mark by a dictionary."""
        items = self.pop_to_mark()
        self.stack.append({})
        self.set_items(items)

    def add(self, items: list) -> None:
        """Add to the set on top of the stack."""
        expect_type(self.stack[-1], set).update(check_key(item) for item in items)

    def push_name(self, value: object) -> None:
        """Push a name, from the opcode's value or from the two topmost texts."""
        if isinstance(value, str):
            module, _, name = value.partition(" ")
        else:
            module, name = expect_type(self.stack.pop(-2), str), expect_type(self.stack.pop(), str)
        self.stack.append(Name(module, name))

    def call_name(self, _: object) -> None:
        """Call a name with its arguments and push the result."""
        arguments = expect_type(self.stack.pop(), tuple)
        name = self.stack.pop()
        if not isinstance(name, Name):
            raise UnsafePickleError(f"a call of {type(name).__name__}")
        self.limit_arguments(arguments)
        self.stack.append(self.call(name, arguments))

    def build(self, _: object) -> None:
        """Set the state of an object that accepts one."""
        state = self.stack.pop()
        set_state = getattr(self.stack[-1], "set_state", None)
        if set_state is None or isinstance(self.stack[-1], Name):
            raise UnsafePickleError(f"a state for {type(self.stack[-1]).__name__}")
        self.limit_arguments(state if isinstance(state, tuple) else (state,))
        set_state(state)

    def push_reference(self, _: object) -> None:
        """Push the object of an external reference."""
        self.stack.append(self.fetch(self.stack.pop()))

    def limit_arguments(self, arguments: Iterable[object]) -> None:
        """Limit the total size of arguments, so that a large object is not copied repeatedly."""
        sized = (str, bytes, bytearray, list, tuple, dict)
        self.argument_budget -= sum(len(value) for value in arguments if isinstance(value, sized))
        if self.argument_budget < 0:
            raise UnsafePickleError("far more than the file holds")


def expect_type(value: object, kind: type[Kind]) -> Kind:
    """Check that a value has a type, and return it.

    Raises:
        ValueError: It has another type.
    """
    if not isinstance(value, kind):
        raise ValueError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def check_key(key: object) -> object:
    """Check that a key can be hashed quickly, which nested tuples may not, and return it.

    Raises:
        Refused: It is neither a number, nor text, nor a short tuple of these.
    """
    parts = key if type(key) is tuple and len(key) <= 16 else (key,)
    for part in parts:
        short = isinstance(part, int) and abs(part) < 2**64
        if not short and not isinstance(part, float | str | bytes | None):
            raise UnsafePickleError("a key that is neither number nor text")
    return key


Step = Callable[[PickleMachine, object], None]

OPCODES: dict[str, Step] = {
    "MARK": PickleMachine.mark,
    "POP": PickleMachine.pop,
    "POP_MARK": lambda machine, _: machine.pop_to_mark().clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), PickleMachine.store),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), PickleMachine.recall),
    "TUPLE1": lambda machine, _: machine.collect_last(1),
    "TUPLE2": lambda machine, _: machine.collect_last(2),
    "TUPLE3": lambda machine, _: machine.collect_last(3),
    "TUPLE": lambda machine, _: machine.collect(tuple),
    "LIST": lambda machine, _: machine.collect(list),
    "FROZENSET": lambda machine, _: machine.collect(lambda items: frozenset(map(check_key, items))),
    "DICT": PickleMachine.collect_dictionary,
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.pop_to_mark()),
    "GLOBAL": PickleMachine.push_name,
    "STACK_GLOBAL": PickleMachine.push_name,
    "REDUCE": PickleMachine.call_name,
    "NEWOBJ": PickleMachine.call_name,
    "BUILD": PickleMachine.build,
    "BINPERSID": PickleMachine.push_reference,
}
"""Implementations of the other opcodes; those missing here are refused."""
