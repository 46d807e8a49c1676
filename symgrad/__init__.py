"""symgrad, a symbolic differentiation compiler: the formula on the screen is the code that runs.

    import symgrad as sg

    x, y = sg.variable("x", ("N", 3)), sg.variable("y", ("N",))
    w = sg.parameter("w", (3,))
    loss = sg.mean_squared_error(x @ w, y)
    print(sg.simplify(sg.gradient(loss, w)))

Names are looked up when first used, so that importing the package, and the command line's --help, cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "symgrad.expression.functions": (
        "variable labels parameter exp log expm1 log1p log1mexp sqrt sin cos tan atan sinh cosh tanh "
        "erf erfc logerfc sigmoid softplus relu sign floor "
        "maximum minimum logaddexp equal not_equal logical_and logical_or logical_not where sum mean "
        "max min argmax logsumexp softmax "
        "log_softmax dot outer einsum reshape transpose cast take scatter one_hot identity named add multiply"
    ),
    "symgrad.expression.losses": (
        "mean_squared_error softmax_cross_entropy cross_entropy binary_cross_entropy accuracy mean_absolute_error"
    ),
    "symgrad.expression.more_losses": (
        "huber log_cosh hinge squared_hinge binary_focal_loss kl_divergence poisson_nll gaussian_nll cosine_distance "
        "l1 l2"
    ),
    "symgrad.expression.activations": (
        "gelu silu swish elu selu leaky_relu prelu relu6 hard_sigmoid hard_tanh hard_silu hard_swish softsign mish "
        "log_sigmoid softmin maxout"
    ),
    "symgrad.expression.normalization": (
        "var std norm l2_normalize cosine_similarity squared_distance standardize layer_norm rms_norm"
    ),
    "symgrad.expression.matrices": (
        "flatten trace diagonal diag kron symmetric inverse determinant logdet cholesky solve"
    ),
    "symgrad.expression.movement": (
        "flip pad concatenate stack split expand_dims squeeze swapaxes broadcast_to ones_like"
    ),
    "symgrad.expression.positions": "arange tril triu cumsum prod",
    "symgrad.expression.convolution": (
        "windows conv2d conv1d max_pool2d average_pool2d max_pool1d average_pool1d global_average_pool2d"
    ),
    "symgrad.expression.layers": "dropout batch_norm running_moments embedding attention",
    "symgrad.expression.recurrent": "scan lstm_cell gru_cell",
    "symgrad.expression.declare": "state noise",
    "symgrad.expression.forms": "in_training assigned training_form evaluation_form",
    "symgrad.expression.node": "Expr constant",
    "symgrad.expression.parse": "parse",
    "symgrad.expression.scalar_functions": "elementwise to_sympy",
    "symgrad.expression.serialize": "expression_to_json expression_from_json",
    "symgrad.calculus.gradient": "gradient derive Derivation",
    "symgrad.calculus.jacobian": "jacobian hessian hessian_vector_product jacobian_vector_product",
    "symgrad.calculus.simplify": "simplify simplified",
    "symgrad.interpreter": "evaluate",
    "symgrad.proof.stamp": "check Stamp",
    "symgrad.proof.against": "check_derivation Verdict",
    "symgrad.formulas": "formula",
    "symgrad.formulas.derivation": "derivation Explanation",
    "symgrad.formulas.chain": "chain_rule ChainRule",
    "symgrad.codegen.kernel": "compile Kernel",
    "symgrad.training.initializers": "zeros ones normal uniform glorot_uniform he_uniform",
    "symgrad.training.optimizers": (
        "sgd momentum nesterov adagrad rmsprop adam adadelta adamax nadam amsgrad adamw lion"
    ),
    "symgrad.training.schedules": "constant_rate step_decay exponential_decay cosine_decay warmup",
    "symgrad.training.model": "Model load",
    "symgrad.training.second_order": "minimize Minimum",
    "symgrad.calculus.curvature": "curvature_products",
    "symgrad.training.settings": "Training History",
    "symgrad.data": "Dataset mnist",
    "symgrad.inspection.cost": "cost Cost",
    "symgrad.inspection.graph": "graph",
    "symgrad.inspection.report": "report",
    "symgrad.errors": (
        "SymgradError ExpressionError ShapeError GradientError BindingError CompileError DataError "
        "ModelError NotFoundError OutputError "
        "StorageError ConfigurationError DivergenceError"
    ),
}
_HOME = {name: module for module, names in _WHERE.items() for name in names.split()} | {
    "abs": "symgrad.expression.functions"
}
_ALIASES = {"abs": "absolute"}

if TYPE_CHECKING:
    from symgrad.calculus.curvature import curvature_products as curvature_products
    from symgrad.calculus.gradient import Derivation as Derivation
    from symgrad.calculus.gradient import derive as derive
    from symgrad.calculus.gradient import gradient as gradient
    from symgrad.calculus.jacobian import hessian as hessian
    from symgrad.calculus.jacobian import hessian_vector_product as hessian_vector_product
    from symgrad.calculus.jacobian import jacobian as jacobian
    from symgrad.calculus.jacobian import jacobian_vector_product as jacobian_vector_product
    from symgrad.calculus.simplify import simplified as simplified
    from symgrad.calculus.simplify import simplify as simplify
    from symgrad.codegen.kernel import Kernel as Kernel
    from symgrad.codegen.kernel import compile as compile
    from symgrad.data import Dataset as Dataset
    from symgrad.data import mnist as mnist
    from symgrad.errors import *  # noqa: F403
    from symgrad.expression.activations import *  # noqa: F403
    from symgrad.expression.convolution import *  # noqa: F403
    from symgrad.expression.declare import noise as noise
    from symgrad.expression.declare import state as state
    from symgrad.expression.forms import *  # noqa: F403
    from symgrad.expression.functions import *  # noqa: F403
    from symgrad.expression.layers import *  # noqa: F403
    from symgrad.expression.losses import *  # noqa: F403
    from symgrad.expression.matrices import *  # noqa: F403
    from symgrad.expression.more_losses import *  # noqa: F403
    from symgrad.expression.movement import *  # noqa: F403
    from symgrad.expression.node import Expr as Expr
    from symgrad.expression.node import constant as constant
    from symgrad.expression.normalization import *  # noqa: F403
    from symgrad.expression.parse import parse as parse
    from symgrad.expression.positions import *  # noqa: F403
    from symgrad.expression.recurrent import *  # noqa: F403
    from symgrad.expression.scalar_functions import elementwise as elementwise
    from symgrad.expression.scalar_functions import to_sympy as to_sympy
    from symgrad.expression.serialize import (
        expression_from_json as expression_from_json,
    )
    from symgrad.expression.serialize import (
        expression_to_json as expression_to_json,
    )
    from symgrad.formulas import formula as formula
    from symgrad.formulas.chain import ChainRule as ChainRule
    from symgrad.formulas.chain import chain_rule as chain_rule
    from symgrad.formulas.derivation import Explanation as Explanation
    from symgrad.formulas.derivation import derivation as derivation
    from symgrad.inspection.cost import Cost as Cost
    from symgrad.inspection.cost import cost as cost
    from symgrad.inspection.graph import graph as graph
    from symgrad.inspection.report import report as report
    from symgrad.interpreter import evaluate as evaluate
    from symgrad.proof.against import Verdict as Verdict
    from symgrad.proof.against import check_derivation as check_derivation
    from symgrad.proof.stamp import Stamp as Stamp
    from symgrad.proof.stamp import check as check
    from symgrad.training.initializers import *  # noqa: F403
    from symgrad.training.model import Model as Model
    from symgrad.training.model import load as load
    from symgrad.training.optimizers import *  # noqa: F403
    from symgrad.training.schedules import *  # noqa: F403
    from symgrad.training.second_order import Minimum as Minimum
    from symgrad.training.second_order import minimize as minimize
    from symgrad.training.settings import History as History
    from symgrad.training.settings import Training as Training

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"symgrad has no {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), _ALIASES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
