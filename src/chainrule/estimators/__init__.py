"""Three pairs of scikit-learn estimators; the mathematics is elsewhere.

* `MLPClassifier`, `MLPRegressor`: scikit-learn's, parameter for parameter, and more.
* `TabularClassifier`, `TabularRegressor`: a data frame as it comes, and no parameter needed.
* `NetClassifier`, `NetRegressor`: any module.
"""
