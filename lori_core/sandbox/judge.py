"""Judge: small functions and their tests, as in the mini tasks.

Two walls. A program may hold only the syntax, names and methods listed here: no import, no attribute but harmless
methods, no name with two underscores, so that no known trick reaches the interpreter. Each program also runs in a fork
of its own, under limits that the kernel keeps: what hangs, eats memory or kills its process takes nobody along.
"""

import ast
import builtins
import os
import types

from . import limits
from .children import end, ending, forked, word_from
from .frames import read_exactly
from .literals import loads

MEMORY = 256 * 2**20  # bytes of address space a program may have
LONGEST_SOURCE = 20_000  # characters

BUILTINS = """
abs all any bin bool chr dict divmod enumerate filter float frozenset hash hex int isinstance iter len list map max
min next oct ord pow range repr reversed round set slice sorted str sum tuple zip
"""

# str.format is missing on purpose: its fields reach attributes ("{0.__class__}").
METHODS = """
append extend insert pop remove index count sort reverse copy clear keys values items get setdefault update add
discard union intersection difference symmetric_difference issubset issuperset isdisjoint split rsplit splitlines
join strip lstrip rstrip upper lower title capitalize swapcase casefold replace startswith endswith find rfind
removeprefix removesuffix partition rpartition isdigit isalpha isalnum isspace isupper islower isnumeric isdecimal
zfill center ljust rjust bit_length is_integer
"""

SYNTAX = (
    *(ast.Module, ast.FunctionDef, ast.Lambda, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign),
    *(
        ast.AnnAssign,
        ast.NamedExpr,
        ast.For,
        ast.While,
        ast.If,
        ast.Expr,
        ast.Pass,
        ast.Break,
        ast.Continue,
        ast.Assert,
    ),
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Call, ast.keyword, ast.Attribute, ast.Name),
    *(ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.comprehension, ast.Subscript, ast.Slice, ast.Starred, ast.JoinedStr, ast.FormattedValue, ast.Delete),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context, ast.Global, ast.Nonlocal),
)


def is_harmless(tree: ast.AST) -> bool:
    """Whether the program holds nothing but listed syntax, listed methods, and names without two underscores."""
    allowed = METHODS.split()
    for node in ast.walk(tree):
        if not isinstance(node, SYNTAX):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in allowed:
            return False
        if any("__" in name for name in _names(node)):
            return False
    return True


def _names(node: ast.AST) -> list[str]:
    """Every identifier that this node itself binds or reads."""
    match node:
        case ast.Name(id=name) | ast.FunctionDef(name=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
            return [name]
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            return names
    return []


def judge(source: str, entry_point: str, tests: list[tuple[list, object]]) -> str:
    """The verdict on one program; runs it in this very process, so only ever called in a fork."""
    try:
        tree = ast.parse(source) if len(source) <= LONGEST_SOURCE else None
        if tree is None or not is_harmless(tree):
            return "refused"
        scope = {
            "__builtins__": {name: getattr(builtins, name) for name in BUILTINS.split()} | {"print": _silent_print}
        }
        exec(compile(tree, "<program>", "exec"), scope)
        function = scope.get(entry_point)
        if not isinstance(function, types.FunctionType):
            return "error"
        return "passed" if all(_same(function(*args), expected) for args, expected in tests) else "wrong"
    except BaseException:
        return "error"


def _silent_print(*_values: object, **_options: object) -> None:
    """Programs may print; nobody listens, so that a flood of output costs nothing."""


def _same(result: object, expected: object) -> bool:
    """Equal, and True is not 1: a test that expects a truth value wants one."""
    return isinstance(result, bool) == isinstance(expected, bool) and _equal(result, expected)


def _equal(result: object, expected: object) -> bool:
    """As ==, but nan is nan."""
    if isinstance(result, float) and isinstance(expected, float) and expected != expected:
        return result != result
    for kind in (list, tuple):
        if isinstance(result, kind) and isinstance(expected, kind):
            return len(result) == len(expected) and all(map(_equal, result, expected))
    return bool(result == expected)


def prepare(walls: limits.Walls) -> None:
    """Once for all programs: a filter for each would take as long as the program."""
    limits.forgo(walls, alone=False)


def verdict(length: int, seconds: float, _walls: limits.Walls) -> str:
    """Of the program in the next `length` bytes of standard input: (source, entry_point, [(args, expected), ...])."""
    reader, writer = os.pipe()
    child = forked(lambda: _run(length, seconds, writer))
    os.close(writer)
    word = word_from(reader, seconds)
    return word or ending(end(child)[child])


def _run(length: int, seconds: float, says: int) -> None:
    source, entry_point, tests = loads(read_exactly(length))
    limits.close_all_but(says)
    limits.contain(seconds, MEMORY, file_size=0, open_files=0)
    os.write(says, judge(source, entry_point, tests).encode())
