"""Names for the nodes of a model and of its training, as books write them: W1, z1, a1, δ1, L.

Layers are counted by their parameters: the first layer that has some gives W1 and b1, its result
is z1, and what an activation makes of it is a1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.graph import Scope, Tensor, Value
from chainrule.losses import Loss
from chainrule.nn.module import Buffer, Module, Parameter
from chainrule.step_graph import StepGraph

_LETTERS = {"weight": "W", "bias": "b"}
_STATES = {"mean": "m", "mean_square": "v", "velocity": "u", "total": "G", "mean_square_step": "D"}
"""Letters for what an optimizer keeps; other states go by their names."""

Listed = tuple[str, str, str]
"""A name in text, in LaTeX and in the user's program; `@` marks the place of an index."""


class Named:
    """The names of nodes, and what part and layer of the model they belong to."""

    def __init__(self) -> None:
        self.names: dict[int, list[Listed]] = {}
        self.roles: dict[int, str] = {}
        self.parts: dict[int, str] = {}
        self.layer_of: dict[int, int] = {}
        self.layers: list[dict[str, Any]] = []
        self.outputs: list[Tensor] = []
        self.labels: dict[int, str] = {}
        self.count = 0
        self._taken: set[str] = set()

    def facts(self, node: Tensor) -> dict[str, Any]:
        """Give what a trace says of a node besides its numbers."""
        return {
            "names": [list(name) for name in self.names.get(node.birth, [])],
            "role": self.roles.get(node.birth, ""),
            "part": self.parts.get(node.birth, "forward"),
            "layer": self.layer_of.get(node.birth),
        }

    def add(self, node: Tensor, text: str, latex: str, label: str = "", role: str = "") -> None:
        """Name a node; a name that is taken gets a stroke."""
        while text in self._taken and role != "rate":
            text, latex = text.replace("@", "′@"), latex.replace("@", "'@")
        self._taken.add(text)
        self.names.setdefault(node.birth, []).append((text, latex, label))
        if role:
            self.roles[node.birth] = role
        if label:
            self.labels[node.birth] = label


def named(
    model: Module,
    nodes: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Mapping[int, Value],
    *,
    step: StepGraph | None = None,
    loss: Loss | None = None,
) -> Named:
    """Name the nodes of a prediction, or of a step of training."""
    found = Named()
    found.count = model.count_parameters()
    _name_inputs(found, inputs, step)
    _name_layers(found, model, nodes, loss)
    if step is not None:
        _name_training(found, nodes, cotangents, step)
    return found


def _name_inputs(found: Named, inputs: Sequence[Tensor], step: StepGraph | None) -> None:
    data = [
        x for x in inputs if step is None or (step.data and x.inputs and x.inputs[0] in step.data)
    ]
    for i, x in enumerate(data, start=1):
        mark = "" if len(data) == 1 else str(i)
        found.add(x, f"x{mark}@", f"x_{{{mark}}}@" if mark else "x@", role="input")
    for x in inputs:
        if step is None or x in data:
            continue
        if x.inputs and x.inputs[0] is step.target:
            found.add(x, "y@", "y@", role="target")
        elif x.shape:  # weights of rows; what else a batch tells is one number
            found.add(x, "s@", "s@", role="weight")
        else:
            found.add(x, "n@", "n@", role="number")


def _innermost(known: Scope | None) -> Scope | None:
    """Give the innermost scope of a module."""
    while known is not None and not isinstance(known.owner, Module):
        known = known.parent
    return known


def _name_layers(found: Named, model: Module, nodes: Sequence[Tensor], loss: Loss | None) -> None:
    """Name parameters and the result of every call of a module."""
    paths = {id(module): name for name, module in reversed(list(model.named_modules()))}
    of_parameter = {p.birth: name for name, p in model.named_parameters()}
    calls: dict[int, list[Tensor]] = {}
    scopes: dict[int, Scope] = {}
    for node in nodes:
        inner = None if node.op is None else _innermost(node.scope)
        if inner is not None:
            calls.setdefault(id(inner), []).append(node)
            scopes[id(inner)] = inner
    k, numbered = 0, {}
    for key, inside in calls.items():
        module: Any = scopes[key].owner
        own = {name: x for name, x in module._items() if isinstance(x, Parameter | Buffer)}
        if any(isinstance(x, Parameter) for x in own.values()) and id(module) not in numbered:
            k += 1
            numbered[id(module)] = k
        place = numbered.get(id(module), k)
        path = paths.get(id(module), "")
        found.layers.append(
            {"name": path, "kind": f"{type(module).__name__}({module.extra_repr()})"}
        )
        for name, x in own.items():
            if x.birth not in found.names:
                label = of_parameter.get(x.birth, f"{path}.{name}".lstrip("."))
                text, latex = _symbol(name, place)
                role = "parameter" if isinstance(x, Parameter) else "buffer"
                found.add(x, text, latex, label, role)
        letter = type(module).symbol
        found.add(inside[-1], f"{letter}{place}@", f"{letter}_{{{place}}}@", path)
        _name_steps(found, inside, letter, place)
        for node in inside:
            found.layer_of[node.birth] = len(found.layers) - 1
    within = [x for x in nodes if x.op is not None and _outermost(x.scope) is model]
    found.outputs = within[-1:]


def _name_steps(found: Named, inside: Sequence[Tensor], letter: str, place: int) -> None:
    """Name what each step of a recurrence gives to the next."""
    last = {x.scope: x for x in inside if x.scope is not None and x.scope.name.startswith("step ")}
    for known, node in last.items():
        t = known.name.removeprefix("step ")
        if node.birth not in found.names:
            found.add(node, f"{letter}{place}⟨{t}⟩@", rf"{letter}_{{{place}}}\langle {t} \rangle @")


def _outermost(known: Scope | None) -> Any:
    while known is not None and known.parent is not None:
        known = known.parent
    return None if known is None else known.owner


def _symbol(name: str, place: int) -> tuple[str, str]:
    """Write a parameter of a layer: W1 for a weight, b1 for a bias, else by its own name."""
    first, _, rest = name.partition("_")
    letter = _LETTERS.get(first, first)
    if not rest:
        upright = letter if len(letter) == 1 else rf"\mathrm{{{letter}}}"
        return f"{letter}{place}@", f"{upright}_{{{place}}}@"
    mark = rest.replace("_", ",")
    return f"{letter}{place}({mark})@", rf"{letter}_{{{place},\,\mathrm{{{mark}}}}}@"


def _name_training(
    found: Named, nodes: Sequence[Tensor], cotangents: Mapping[int, Value], step: StepGraph
) -> None:
    """Name the loss, gradients, and what the update reads and gives."""
    listed = {x.birth for x in nodes}
    found.add(step.loss, "L@", "L@", role="loss")
    for node in nodes:
        root = _root_name(node)
        if node.op is not None and (root == "gradient" or root.startswith("∂")):
            found.parts[node.birth] = "backward"
        elif node.op is not None and _outermost(node.scope) is None:
            known_loss = node.birth <= step.loss.birth
            found.parts[node.birth] = "loss" if known_loss else "update"
    found.parts[step.loss.birth] = "loss"
    if step.term is not None and step.term.birth in listed:
        found.add(step.term, "R@", "R@", role="penalty")
    _name_gradients(found, nodes, cotangents)
    _name_update(found, nodes, step)


def _root_name(node: Tensor) -> str:
    return "" if node.scope is None else node.scope.path().split("/")[0]


def _name_gradients(found: Named, nodes: Sequence[Tensor], cotangents: Mapping[int, Value]) -> None:
    listed = {x.birth for x in nodes}
    for node in reversed(nodes):
        g = cotangents.get(node.birth)
        if isinstance(g, Tensor) and g.op is None:  # ∂L/∂L = 1
            continue
        if node.birth not in found.names or not isinstance(g, Tensor) or g.birth not in listed:
            continue
        text, latex, _ = found.names[node.birth][0]
        if text.startswith("z"):
            found.add(g, "δ" + text[1:], r"\delta" + latex[1:])
        else:
            found.add(g, f"∂L/∂{text}", rf"\frac{{\partial L}}{{\partial {latex}}}")


def _name_update(found: Named, nodes: Sequence[Tensor], step: StepGraph) -> None:
    listed = {x.birth for x in nodes}
    t, factor = step.numbers[:2]
    if t.birth in listed:
        found.add(t, "t@", "t@", role="number")
    for node in nodes:
        if factor in node.inputs:
            found.add(node, "lr@", r"\mathrm{lr}@", role="rate")
    if step.norm.birth in listed:
        found.add(step.norm, "‖∂L‖@", r"\|\partial L\|@")
    for unit in step.units:
        if unit.leaf.birth not in found.names:
            continue
        text, latex, label = found.names[unit.leaf.birth][0]
        new = step.updates[unit.leaf]
        if new.birth in listed and new is not unit.leaf:
            found.add(new, _with_plus(text, "⁺"), _with_plus(latex, "^{+}"), label, "new")
        for x, b, name, place in step.state:
            if (b, place) != (unit.block, unit.place) or x.birth not in listed:
                continue
            letters = _STATES.get(name, name)
            state, written = f"{letters}({text[:-1]})@", rf"\mathrm{{{letters}}}({latex[:-1]})@"
            found.add(x, state, written, role="state")
            after = step.updates[x]
            if after.birth in listed:
                found.add(after, _with_plus(state, "⁺"), _with_plus(written, "^{+}"))


def _with_plus(name: str, plus: str) -> str:
    return name.replace("@", f"{plus}@")
