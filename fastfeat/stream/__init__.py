"""Features of a stream: Kafka in, and out to Kafka, Valkey or Redis, and Parquet."""
