"""What can go wrong with a program or its tables.

EngineError
├── LoadError        the JSON is broken, or holds something that this switch cannot do
├── BuildError       there is no C compiler, or it refused the generated C
└── EntryError       a table, counter or register was asked for something impossible
    ├── EntryExists
    ├── NoSuchEntry
    ├── TableFull
    ├── ImmutableTable
    ├── InUse
    └── BadEntry
"""


class EngineError(Exception):
    """Base of everything that the engine raises on purpose."""


class LoadError(EngineError):
    """The program cannot be loaded.

    The message names the object and, where the JSON has it, the P4 source line.
    """


class BuildError(EngineError):
    """The generated C could not be compiled.

    The message holds the kept file's path and the compiler's words.
    """


class EntryError(EngineError):
    """A request to a table or an array that could not be carried out; nothing was changed."""


class EntryExists(EntryError):
    """The table already holds an entry with this match and priority."""


class NoSuchEntry(EntryError):
    """The table holds no entry with this match and priority."""


class TableFull(EntryError):
    """The table holds as many entries as the program gave it room for."""


class ImmutableTable(EntryError):
    """The program fixed these entries or this default action (`const`)."""


class InUse(EntryError):
    """A member or group that something still refers to cannot be removed."""


class BadEntry(EntryError):
    """The request does not fit the program.

    Unknown name, wrong number or kind of fields, value too wide, bad index.
    """
