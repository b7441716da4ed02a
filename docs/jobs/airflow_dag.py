"""Airflow: each day, check the new rows, compute their features, and look for drift.

Each step is a command of fastfeat. It ends with 1 if rows break a rule or a feature has drifted;
the task then fails, and the steps after it do not run.
"""

from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PLAN = "/srv/features/flights.fastfeat"  # fitted with contract= and profile=True
ROWS = "/srv/rows/{{ ds }}.parquet"  # the rows of the day
OUT = "/srv/features/{{ ds }}.parquet"

with DAG("features", schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False) as dag:
    check = BashOperator(task_id="check", bash_command=f"fastfeat check {PLAN} {ROWS}")
    transform = BashOperator(
        task_id="transform", bash_command=f"fastfeat transform {PLAN} {ROWS} -o {OUT}"
    )
    drift = BashOperator(task_id="drift", bash_command=f"fastfeat drift {PLAN} {ROWS}")
    check >> transform >> drift
