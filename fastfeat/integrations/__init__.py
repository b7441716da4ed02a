"""Plans inside other libraries: one module per library, which alone imports it.

`sklearn`, `torch`, `xgboost`, `lightgbm`, `catboost`, `mlflow`, `ray` and `spark` use the public
interface of plans. Nothing else in fastfeat imports them.
"""
