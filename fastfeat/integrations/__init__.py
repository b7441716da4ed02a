"""Plans inside other libraries: one module each, which alone imports its library.

`sklearn`, `torch`, `xgboost`, `lightgbm`, `catboost`, `mlflow`, `ray` and `spark` stand on the
public interface of plans; nothing else in fastfeat imports them.
"""
