"""Documents that people write and that are no JSON: YAML where this Python can read it, and Python's own literals."""

from __future__ import annotations

import ast
import sys

from neuromanager.system.document import parse_json
from neuromanager.system.faults import WRONG_INPUT, Failure
from neuromanager.system.jsonvalues import parse_float, parse_integer
from neuromanager.system.patterns import compile_late, re
from neuromanager.system.values import Any

_INTEGER = compile_late(r"-?(?:0|[1-9][0-9]*)")
_EXPONENTIAL = r"-?(?:0|[1-9][0-9]*)[eE][+-]?[0-9]+"
_FLOAT = compile_late(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def parse_json_or_yaml(text: str, path: str) -> Any:
    """YAML for a file that is called so. Raises Failure."""
    if not path.endswith((".yaml", ".yml")):
        value, faults = parse_json(text, path)
        if faults:
            raise Failure(WRONG_INPUT, *faults)
        return value
    return _parse_yaml(text, path)


def _parse_yaml(text: str, path: str) -> Any:
    """Numbers keep their text; dates stay texts."""
    try:
        if sys.flags.no_site:  # only here are site-packages wanted
            import site

            site.main()
        import yaml
    except ImportError:
        raise Failure(
            WRONG_INPUT,
            f"{path}: {sys.executable} has no package yaml; pip install pyyaml, or on Debian as root apt-get install "
            "python3-yaml; or convert the file to JSON",
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
        pass

    def make_number(loader: Any, node: Any) -> Any:
        if _INTEGER.fullmatch(node.value):
            return parse_integer(node.value)
        return parse_float(node.value) if _FLOAT.fullmatch(node.value) else node.value

    for kind in ("int", "float"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", make_number)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: node.value)
    Loader.add_implicit_resolver(  # 1e-4, which is none in YAML 1.1
        "tag:yaml.org,2002:float", re.compile(rf"(?:{_EXPONENTIAL})\Z"), list("-0123456789")
    )
    try:
        return yaml.load(text, Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Failure(WRONG_INPUT, f"{path}: not YAML: {' '.join(str(error).split())[:300]}") from None


def parse_literal(text: str, path: str, key: str) -> Any:
    """The object with ``key`` of a Python file, or of JSON; nothing of the file is executed. Raises Failure."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return parse_json_or_yaml(text, path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and any(
            isinstance(name, ast.Constant) and name.value == key for name in node.keys
        ):
            try:
                return ast.literal_eval(node)
            except (ValueError, RecursionError):
                raise Failure(
                    WRONG_INPUT, f"{path}: the object with {key!r} has more than literals; write the values out"
                ) from None
    raise Failure(WRONG_INPUT, f"{path}: no object with the key {key!r}")
