"""A profiler that looks at the stack whenever the CPU timer fires: it costs next to nothing."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# The innermost frame that a line fits says whose the CPU is; what C code takes is its caller's
LAYERS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("SQL driver", "sqlalchemy/engine/default.py", ("do_execute", "do_commit", "do_rollback")),
    ("SQL driver", "sqlalchemy/engine/cursor.py", ("fetchall", "fetchone", "_raw_all_rows")),
    ("SQL driver", "/movies_api/prepared.py", ("_send", "rows")),
    ("SQL driver", "/psycopg2/", ()),
    ("SQLAlchemy session", "/sqlalchemy/orm/", ()),
    ("SQLAlchemy session", "/flask_sqlalchemy/", ()),
    ("SQLAlchemy", "/sqlalchemy/", ()),
    ("serialisation", "/movies_api/", ("response", "dumps")),
    ("validation", "/marshmallow/", ()),
    ("validation", "/webargs/", ()),
    ("documents", "/flask_smorest/", ()),
    ("CORS", "/flask_cors/", ()),
    ("logging", "/logging/", ()),
    ("logging", "/movies_api/logs.py", ()),
    ("tokens", "/itsdangerous/", ()),
    ("passwords", "/passlib/", ()),
    ("passwords", "/argon2/", ()),
    ("Flask", "/flask/", ()),
    ("Werkzeug", "/werkzeug/", ()),
    ("ours", "/movies_api/", ()),
    ("the bench itself", "/bench/", ()),
)
STAGES = {"check_caller": "guard", "dispatch_request": "view", "process_response": "after"}


class Sampler:
    """Counts whose code is at work: by layer and stage, and by function."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.cells: Counter[tuple[str, str]] = Counter()
        self.functions: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look after every millisecond of CPU, or as often as the kernel's clock ticks."""
        before = signal.signal(signal.SIGPROF, self.look)
        signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def look(self, _signal: int, frame: FrameType | None) -> None:
        """Note layer, stage and function of the moment."""
        layer = stage = function = ""
        while frame is not None:
            code = frame.f_code
            layer = layer or layer_of(code.co_filename, code.co_name)
            if layer and not function:
                function = "/".join(code.co_filename.split("/")[-2:]) + ":" + code.co_name
            stage = stage or STAGES.get(code.co_name, "")
            frame = frame.f_back
        self.cells[layer, stage or "rest"] += 1
        self.functions[function] += 1

    def tables(self, micro: float) -> str:
        """Return layers by stages, and the functions that take most; micro is the whole, in µs."""
        stages, layers = ["guard", "view", "after", "rest"], {layer for layer, _ in self.cells}
        share = micro / sum(self.cells.values())

        def line(name: str, counts: list[int]) -> str:
            cells = [*counts, sum(counts)]
            return f"{name:22}" + "".join(f"{count * share:8.0f}" for count in cells)

        rows = {layer: [self.cells[layer, stage] for stage in stages] for layer in layers}
        ranked = sorted(rows.items(), key=lambda row: -sum(row[1]))
        return "\n".join(
            [
                f"{'µs a request':22}" + "".join(f"{name:>8}" for name in [*stages, "sum"]),
                *(line(layer, counts) for layer, counts in ranked),
                line("sum", [sum(column) for column in zip(*rows.values(), strict=True)]),
                "\nfunctions that take most:",
                *(
                    f"{count * share:8.0f} µs  {function}"
                    for function, count in self.functions.most_common(20)
                ),
            ]
        )


def layer_of(file: str, function: str) -> str:
    """Return the layer of a frame; "" when its caller decides, as in the standard library."""
    for layer, part, functions in LAYERS:
        if part in file and (not functions or function in functions):
            return layer
    return ""
