"""Expressions of numbers, safe to take from a file: read once, checked whole, then evaluated at any time.

Numbers are floats throughout, so that no expression can take long (`9**9**9` overflows at once). Known besides the
names given by the caller: `pi`, `tau`, `e`, and the functions in `FUNCTIONS`.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import simpleeval

from renderer.errors import UsageError, nearest

MAX_LENGTH = 500
MAX_DEPTH = 40
CONSTANTS = {"pi": math.pi, "tau": math.tau, "e": math.e}


class Formula:
    """An expression of named numbers.

    Args:
        text: the expression, at most `MAX_LENGTH` characters.
        names: the names that a caller will give.
        whole: the text that this expression is a part of, for errors; `offset` says where in it.
        truncated: whether `%` leaves what C and numexpr leave, with the sign of what is divided.

    Attributes:
        used: the names that the expression really uses.
        literal: true where it is a plain number, possibly signed or in parentheses.

    Raises:
        UsageError: it cannot be read, or uses what is not allowed; names the text and the place.
    """

    def __init__(
        self, text: str, *, names: Sequence[str], whole: str | None = None, offset: int = 0, truncated: bool = False
    ) -> None:
        self.text, self._whole, self._truncated = text, text if whole is None else whole, truncated
        self._indent = len(text) - len(text.lstrip())
        self._offset = offset + self._indent
        if len(text) > MAX_LENGTH:
            raise UsageError(f"Expression {text[:40]!r}... has {len(text)} characters; at most {MAX_LENGTH}.")
        # A line break means nothing in a number; a space in its stead keeps every place.
        self._source = " ".join(text.strip().splitlines())
        tree = self._read()
        self.used: frozenset[str] = frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)) & set(names)
        self._check(tree, (*names, *CONSTANTS), 0)
        bare = tree.operand if isinstance(tree, ast.UnaryOp) else tree
        self.literal = isinstance(bare, ast.Constant)
        self._tree = _Lazy().visit(tree)
        operators = {**_OPERATORS, ast.Mod: math.fmod} if truncated else _OPERATORS
        self._evaluator = simpleeval.SimpleEval(operators=operators, functions=_CALLABLES, names={})
        self._evaluator.nodes[ast.Constant] = _constant

    def __call__(self, **names: float) -> float:
        """Evaluate it.

        Raises:
            ArithmeticError, ValueError: it has no value there, such as `1/t` at 0.
        """
        self._evaluator.names = {**CONSTANTS, **names}
        return float(self._evaluator.eval(self._source, previously_parsed=self._tree))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.text, tuple(self.used), self._whole, self._offset - self._indent, self._truncated)

    def _read(self) -> ast.expr:
        if not self._source:
            raise self._wrong("nothing where a number or an expression belongs", 0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self._source, mode="eval").body
        except SyntaxError as error:
            raise self._wrong(f"something that cannot be read ({error.msg})", (error.offset or 1) - 1) from None
        except (ValueError, RecursionError, MemoryError):
            raise self._wrong("something that cannot be read", 0) from None

    def _check(self, node: ast.expr, names: Sequence[str], depth: int) -> None:
        """Let through numbers, known names, arithmetic, comparisons and calls of known functions; nothing else."""
        if depth > MAX_DEPTH:
            raise self._wrong("too many nested parts", self._place(node))
        if isinstance(node, ast.Constant):
            self._check_number(node)
        elif isinstance(node, ast.Name):
            if node.id not in names:
                what = "a function without its parentheses" if node.id in FUNCTIONS else "the unknown name"
                raise self._wrong(f"{what} {node.id!r}", self._place(node), nearest(node.id, names))
        elif isinstance(node, ast.Call):
            self._check_call(node)
        elif not isinstance(node, _ALLOWED) or type(getattr(node, "op", ast.Add())) not in _KNOWN_OPERATORS:
            what = ast.get_source_segment(self._source, node) or type(node).__name__
            hint = "; a power is written **" if isinstance(getattr(node, "op", None), ast.BitXor) else ""
            raise self._wrong(f"{what[:60]!r}, which is not allowed in an expression", self._place(node), hint)
        if isinstance(node, ast.Compare) and not all(type(op) in _OPERATORS for op in node.ops):
            raise self._wrong("a comparison that numbers do not have", self._place(node))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and not (isinstance(node, ast.Call) and child is node.func):
                self._check(child, names, depth + 1)

    def _check_number(self, node: ast.Constant) -> None:
        try:
            value = node.value
            finite = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        except OverflowError:
            finite = False
        if not finite:
            raise self._wrong(f"{str(node.value)[:40]!r}, which is not a finite number", self._place(node))

    def _check_call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            shown = name or ast.get_source_segment(self._source, node.func) or "?"
            raise self._wrong(f"the unknown function {shown[:40]!r}", self._place(node), nearest(shown, FUNCTIONS))
        function = FUNCTIONS[name]
        given = len(node.args) + len(node.keywords)
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self._wrong(f"{name}() with something else than plain numbers", self._place(node))
        if not function.least <= given <= function.most:
            takes = f"{function.least}" if function.least == function.most else f"{function.least} or more"
            raise self._wrong(f"{name}() with {given} numbers where it takes {takes}", self._place(node))

    def _place(self, node: ast.expr) -> int:
        # The parser counts bytes of UTF-8, people count characters.
        line = self._source.encode()[: node.col_offset]
        return len(line.decode(errors="ignore"))

    def _wrong(self, what: str, place: int, hint: str = "") -> UsageError:
        said = f"Schedule {quoted(self._whole)} has {what} at character {self._offset + place + 1}{hint}"
        return UsageError(said if said.endswith("?") else said + ".")


def quoted(text: str) -> str:
    """Write a schedule for an error, its beginning at least."""
    return repr(text if len(text) <= 200 else f"{text[:200]}...")


@dataclass(frozen=True)
class Function:
    """A function of numbers and how many it takes."""

    call: Callable[..., float]
    least: int = 1
    most: int = 1


class _Lazy(ast.NodeTransformer):
    """Makes `where(a, b, c)` compute just the one that counts, so that `where(t > 0, 1/t, 0)` has a value at 0."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "where":
            return ast.IfExp(*node.args)
        return node


def _rebuild(text: str, names: Sequence[str], whole: str, offset: int, truncated: bool) -> Formula:
    return Formula(text, names=names, whole=whole, offset=offset, truncated=truncated)


def _constant(node: ast.Constant) -> float:
    return float(node.value)  # type: ignore[arg-type]


def _log(x: float, base: float = math.e) -> float:
    return math.log(x) if base == math.e else math.log(x, base)


def _clamp(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


def _lerp(a: float, b: float, share: float) -> float:
    return a + (b - a) * share


def _smoothstep(low: float, high: float, x: float) -> float:
    share = _clamp((x - low) / (high - low), 0.0, 1.0)
    return share * share * (3 - 2 * share)


def _where(condition: float, yes: float, no: float) -> float:
    return yes if condition else no


def _sign(x: float) -> float:
    return math.copysign(1.0, x) if x else 0.0


def _bits(join: Callable[[int, int], int]) -> Callable[[float, float], float]:
    """Join truth values, or the bits of whole numbers, as `&` and `|` do."""
    return lambda a, b: float(join(_whole(a), _whole(b)))


def _inverted(x: float) -> float:
    return not x if isinstance(x, bool) else float(~_whole(x))


def _whole(x: float) -> int:
    if x != math.floor(x) or abs(x) >= 2**63:
        raise ValueError(f"& | ~ take comparisons and whole numbers, not {x:g}")
    return int(x)


FUNCTIONS: dict[str, Function] = {
    "sin": Function(math.sin),
    "cos": Function(math.cos),
    "tan": Function(math.tan),
    "asin": Function(math.asin),
    "acos": Function(math.acos),
    "atan": Function(math.atan),
    "arcsin": Function(math.asin),
    "arccos": Function(math.acos),
    "arctan": Function(math.atan),
    "arctan2": Function(math.atan2, 2, 2),
    "atan2": Function(math.atan2, 2, 2),
    "sinh": Function(math.sinh),
    "cosh": Function(math.cosh),
    "tanh": Function(math.tanh),
    "arcsinh": Function(math.asinh),
    "arccosh": Function(math.acosh),
    "arctanh": Function(math.atanh),
    "hypot": Function(math.hypot, 2, 2),
    "abs": Function(abs),
    "sign": Function(_sign),
    "min": Function(min, 2, 20),
    "max": Function(max, 2, 20),
    "minimum": Function(min, 2, 2),
    "maximum": Function(max, 2, 2),
    "floor": Function(math.floor),
    "ceil": Function(math.ceil),
    "trunc": Function(math.trunc),
    "round": Function(round),
    "rint": Function(round),
    "fmod": Function(math.fmod, 2, 2),
    "sqrt": Function(math.sqrt),
    "exp": Function(math.exp),
    "expm1": Function(math.expm1),
    "log": Function(_log, 1, 2),
    "log1p": Function(math.log1p),
    "log10": Function(math.log10),
    "pow": Function(math.pow, 2, 2),
    "clamp": Function(_clamp, 3, 3),
    "lerp": Function(_lerp, 3, 3),
    "smoothstep": Function(_smoothstep, 3, 3),
    "where": Function(_where, 3, 3),
}
"""Functions by name: those of numexpr, which Deforum takes, and a few of our own."""
_CALLABLES = {name: function.call for name, function in FUNCTIONS.items()}

# math.pow, because (-1.0) ** 0.5 would be a complex number.
_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.BitAnd: _bits(operator.and_),
    ast.BitOr: _bits(operator.or_),
    ast.Invert: _inverted,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_KNOWN_OPERATORS = {*_OPERATORS, ast.And, ast.Or}
_ALLOWED = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp)
