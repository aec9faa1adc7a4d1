"""What curves and activations say about a training; nothing here changes a model.

>>> from chainrule.history import History
>>> losses = [1.0 / n for n in range(1, 21)]
>>> worse = [max(1.0 / n, 0.2) + 0.03 * max(n - 6, 0) for n in range(1, 21)]
>>> rows = [{"loss": a, "validation_loss": b} for a, b in zip(losses, worse)]
>>> print(verdict(History(rows)))
overfitting: since epoch 5 the loss of the training rows fell from 0.2 to 0.05, that of the \
validation rows rose from 0.2 to 0.62: keep the weights of epoch 5 (early stopping), or take more \
rows, a penalty, dropout, or fewer units
"""

from chainrule.diagnose.curves import Verdict as Verdict
from chainrule.diagnose.curves import verdict as verdict
from chainrule.diagnose.units import LayerUnits as LayerUnits
from chainrule.diagnose.units import dead_units as dead_units

__all__ = ["LayerUnits", "Verdict", "dead_units", "verdict"]
